"""Texts about parts for --list and --describe, made from the parts' own docstrings and Configs."""

import ast
import dataclasses
import inspect
import itertools
import textwrap
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from core.errors import UserError, did_you_mean
from core.part import Choice, Part, find, kinds, names
from core.paths import FolderOrName
from core.settings import plain


@dataclass(frozen=True)
class Setting:
    """One setting of a part, as --describe shows it."""

    path: str
    """Its key, with dots where settings are nested."""
    accepts: str
    """What a recipe may say, in words."""
    default: str | None
    """As a recipe would say it; None where it must be given."""
    meaning: str
    """The line of documentation beneath the Config's field."""


def list_parts(kind: str | None = None) -> str:
    """All parts, or those of one kind, each with the first line of its documentation.

    Raises:
        UserError: no such kind.
    """
    blocks = []
    for each in kinds() if kind is None else [kind]:
        lines = [f"  {name:<18} {_first_line(find(each, name))}" for name in names(each)]
        blocks.append("\n".join([f"{each}:", *(lines or ["  (none)"])]))
    return "\n\n".join(blocks)


def describe_part(name: str) -> str:
    """Everything a recipe's author needs to know of a part.

    Raises:
        UserError: no part has this name.
    """
    found = [find(kind, name) for kind in kinds() if name in names(kind)]
    if not found:
        known = {known for kind in kinds() for known in names(kind)}
        raise UserError(f"no part is called '{name}'. {did_you_mean(name, known)}")
    return "\n\n".join(_described(part) for part in found)


def settings_of(config: type, prefix: str = "") -> list[Setting]:
    """The settings of a Config; those of nested dataclasses follow with their full key."""
    annotations, meanings = get_type_hints(config, include_extras=True), field_docs(config)
    rows: list[Setting] = []
    for field in dataclasses.fields(config):
        key, annotation = f"{prefix}{field.name}", annotations[field.name]
        default = _default(field)
        rows.append(Setting(key, _in_words(annotation), default, meanings.get(field.name, "")))
        if dataclasses.is_dataclass(annotation) and not callable(getattr(annotation, "from_setting", None)):
            rows += settings_of(annotation, f"{key}.")  # pyright: ignore[reportArgumentType]
    return rows


def field_docs(config: type) -> dict[str, str]:
    """The string that stands beneath each field in the source, on one line; inherited fields included."""
    docs: dict[str, str] = {}
    for cls in reversed(config.__mro__):
        if not dataclasses.is_dataclass(cls):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0].body  # pyright: ignore[reportAttributeAccessIssue]
        for statement, below in itertools.pairwise(body):
            if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                continue
            if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
                docs[statement.target.id] = " ".join(str(below.value.value).split())
    return docs


def _described(part: type[Part]) -> str:
    doc = inspect.cleandoc(part.__doc__ or "")
    source = inspect.getsourcefile(part)
    lines = [f"{part.part_name} ({part.kind}, {part.__qualname__} in {source})", "", textwrap.indent(doc, "  "), ""]
    lines.append("settings:")
    for row in settings_of(part.Config):
        default = "required" if row.default is None else f"default {row.default}"
        lines.append(f"  {row.path}: {row.accepts}, {default}")
        lines += textwrap.wrap(row.meaning, 110, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines if len(lines) > 5 else [*lines, "  (none)"])


def _default(field: dataclasses.Field[Any]) -> str | None:
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return None
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if dataclasses.is_dataclass(value) and not callable(getattr(value, "to_setting", None)):
        return "as below"
    return str(plain(value))


def _in_words(annotation: Any) -> str:
    """What a recipe may say where this annotation stands."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Choice:
        promise = inner[0]
        return f"a {promise.kind} ({', '.join(names(promise.kind, promise)) or 'none known'})"
    if callable(getattr(annotation, "from_setting", None)):
        return "a number or a schedule {start, end, from, to, shape} or {points, shape}"
    if dataclasses.is_dataclass(annotation):
        return "a mapping"
    if origin in (Union, UnionType):
        return " or ".join("null" if option is NoneType else _in_words(option) for option in inner)
    if origin is Literal:
        return " | ".join(str(word) for word in inner)
    if origin is tuple:
        items = [_in_words(item) for item in inner if item is not Ellipsis]
        return f"a list of {items[0]}" if Ellipsis in inner else f"[{', '.join(items)}]"
    if origin is dict:
        return f"a mapping of names to {_in_words(inner[1])}"
    words = {bool: "true or false", int: "an integer", float: "a number", str: "a text", NoneType: "null"}
    words[FolderOrName] = "a folder or a name"
    return words.get(annotation, "a path")


def _first_line(part: type[Part]) -> str:
    return inspect.cleandoc(part.__doc__ or "").split("\n")[0]

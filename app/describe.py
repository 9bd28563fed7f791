"""Texts about parts for --list and --describe, made from the parts' own docstrings and Configs."""

import ast
import dataclasses
import inspect
import itertools
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from core.errors import UserError, nearest_word
from core.part import Choice, Part, find, kinds, names
from core.paths import FolderOrName
from core.recipe import Recipe
from core.setting_paths import NOT_GIVEN, plain, setting_places

#: What stands before the name of a kind, where that is not "a".
_ARTICLES = {"exporter": "an ", "guidance": "", "views": ""}


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
    annotation: Any

    @property
    def name(self) -> str:
        """The last word of its key."""
        return self.path.rpartition(".")[2]


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


def described(name: str) -> str:
    """All that a recipe's author needs to know of a part, a kind, a setting or a Config, by its name or full path.

    Raises:
        UserError: nothing has this name.
    """
    branch, _, word = name.rpartition(".")
    if parts := [find(kind, word) for kind in kinds() if word in names(kind)]:
        return "\n\n".join(_described(part) for part in parts)
    blocks = [_config_text(config) for config in _configs() if config.__name__ == word]
    kind = branch.rpartition(".")[2]
    asked = [kind] if kind in kinds() else ["", *kinds()]
    blocks += _setting_texts([(owner, row) for owner, row in _all_settings(asked) if row.name == word])
    if word in kinds():
        blocks.append(list_parts(word))
    if blocks:
        return "\n\n".join(dict.fromkeys(blocks))
    for part in _parts():
        if moved := getattr(part.Config, "MOVED", {}).get(word):
            now = moved.partition(":")[0]
            rows = [(owner, row) for owner, row in _all_settings([part.kind]) if row.name == now]
            texts = [f"{word}: no setting any more. Say {moved} instead.", *_setting_texts(rows)]
            return "\n\n".join(dict.fromkeys(texts))
    known = {known for kind in kinds() for known in names(kind)} | {
        row.name for _, row in _all_settings(["", *kinds()])
    }
    near = nearest_word(word, known | set(kinds()))
    raise UserError(
        f"no part, kind or setting is called '{name}'. "
        + (f"Did you mean '{near}'?" if near else "--list shows the parts; --config RECIPE --help all settings")
    )


def recipe_help(recipe: Recipe, path: Path) -> str:
    """All that a recipe can set, with what it says or its defaults."""
    lines = [f"What {path} can set, as key.sub=value; options are shown by python launch.py --help", ""]
    for place in setting_places(Recipe, plain(recipe)):
        nested = isinstance(place.value, Mapping) and bool(place.value) and not _is_schedule(place.annotation)
        if nested and "type" in place.value:
            said = f"type: {place.value['type']}"
        else:
            said = "with" if nested else _said(place.value)
        lines.append(f"{place.path}: {said}" if nested else f"{place.path} = {said}    ({_in_words(place.annotation)})")
        lines += _wrapped(field_docs(place.config).get(place.name, ""))
    return "\n".join(lines)


def settings_of(config: type) -> list[Setting]:
    """The settings of a Config; those of nested dataclasses follow with their full key, N for one of several."""
    rows = []
    for place in setting_places(config, {}, with_parts=False):
        default = None if place.value is NOT_GIVEN else _said(place.value)
        if isinstance(place.value, Mapping) and not _is_schedule(place.annotation):
            name = place.value.get("type")
            default = f"{{type: {name}}}" if name else "as below" if place.value else "{}"
        meaning = field_docs(place.config).get(place.name, "")
        rows.append(Setting(place.path, _in_words(place.annotation), default, meaning, place.annotation))
        for listed in _listed(place.annotation):
            rows += [replace(row, path=f"{place.path}.N.{row.path}") for row in settings_of(listed)]
    return rows


@cache
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
    head = f"{part.part_name} ({part.kind}, {part.__qualname__} in {source})"
    return "\n".join([head, "", textwrap.indent(doc, "  "), "", _rows_text(settings_of(part.Config))])


def _config_text(config: type) -> str:
    doc = textwrap.indent(inspect.cleandoc(config.__doc__ or ""), "  ")
    return "\n".join([config.__name__, "", doc, "", _rows_text(settings_of(config))])


def _setting_texts(found: Sequence[tuple[str, Setting]]) -> list[str]:
    """Settings of one name, each with those who share it; and what stands beneath: a Config, the parts of a kind."""
    owners: dict[str, list[str]] = {}
    below: list[str] = []
    for owner, row in found:
        owners.setdefault(_rows_text([row]).partition("\n")[2], []).append(owner)
        for option in (row.annotation, *get_args(row.annotation)):
            if get_origin(option) is Choice:
                below.append(list_parts(get_args(option)[0].kind))
            elif dataclasses.is_dataclass(option) and not _is_schedule(option):
                below.append(_config_text(option))  # pyright: ignore[reportArgumentType]
    return [*(f"of {', '.join(who)}:\n{text}" for text, who in owners.items()), *below]


def _rows_text(rows: Sequence[Setting]) -> str:
    lines = ["settings:"]
    for row in rows:
        default = "required" if row.default is None else f"default {row.default}"
        lines += [f"  {row.path}: {row.accepts}, {default}", *_wrapped(row.meaning)]
    return "\n".join(lines if rows else [*lines, "  (none)"])


def _wrapped(meaning: str) -> list[str]:
    return textwrap.wrap(meaning, 110, initial_indent="      ", subsequent_indent="      ")


def _parts() -> list[type[Part]]:
    return [find(kind, name) for kind in kinds() for name in names(kind)]


def _configs() -> list[type]:
    """The dataclasses of all settings: a recipe's own, the parts', and those nested in them."""
    parts = [part.Config for part in _parts()]
    within = [place.config for config in (Recipe, *parts) for place in setting_places(config, {}, with_parts=False)]
    return list(dict.fromkeys([*parts, *within]))


def _all_settings(asked: Sequence[str]) -> list[tuple[str, Setting]]:
    """Every setting of the parts of some kinds, with the name of whose it is; the kind "" stands for the recipe."""
    owners = [("a recipe", Recipe)] if "" in asked else []
    owners += [(name, find(kind, name).Config) for kind in asked if kind for name in names(kind)]
    return [(owner, row) for owner, config in owners for row in settings_of(config)]


def _said(value: Any) -> str:
    """A value as a recipe would say it."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"[{', '.join(_said(item) for item in value)}]"
    if isinstance(value, Mapping):
        pairs = ", ".join(f"{key}: {_said(item)}" for key, item in value.items())
        return str(value["type"]) if "type" in value else f"{{{pairs}}}"
    if value == "":
        return "''"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_schedule(annotation: Any) -> bool:
    return callable(getattr(annotation, "from_setting", None))


def _listed(annotation: Any) -> list[type]:
    """The dataclasses that a setting of several may hold, one beside the other."""
    if get_origin(annotation) is not tuple or Ellipsis not in get_args(annotation):
        return []
    item = get_args(annotation)[0]
    return [each for each in (item, *get_args(item)) if isinstance(each, type) and dataclasses.is_dataclass(each)]


def _in_words(annotation: Any) -> str:
    """What a recipe may say where this annotation stands."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Choice:
        promise = inner[0]
        words = f"{_ARTICLES.get(promise.kind, 'a ')}{promise.kind}"
        return f"{words} ({', '.join(names(promise.kind, promise)) or 'none known'})"
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
        return f"a list of {_several(items[0])}" if Ellipsis in inner else f"[{', '.join(items)}]"
    if origin is dict:
        return f"a mapping of names to {_several(_in_words(inner[1]))}"
    words = {bool: "true or false", int: "an integer", float: "a number", str: "a text", NoneType: "null"}
    words[FolderOrName] = "a folder or a name"
    return words.get(annotation, "a path")


def _several(words: str) -> str:
    """`a text` as `texts`, `a loss (...)` as `losses (...)`."""
    return re.sub(r"\ban? (\w+)", lambda one: one[1] + ("es" if one[1].endswith("s") else "s"), words)


def _first_line(part: type[Part]) -> str:
    return inspect.cleandoc(part.__doc__ or "").split("\n")[0]

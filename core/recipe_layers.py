"""What recipe files and the command line say, laid over one another: a recipe over what it extends, overrides over all.

Mappings are merged key by key, lists are replaced as a whole, and so is a schedule that is written in its other form.
A part whose `type` differs keeps of the earlier settings those that both parts have, by name and by what they take.
"""

import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.environment import escaped
from core.errors import MachineError, UserError, nearest_word, require
from core.part import shared_settings
from core.schedule import is_other_form

_KEY = re.compile(r"[A-Za-z_][\w.\[\]-]*")
_OVERRIDE = re.compile(rf"{_KEY.pattern}=")
#: The recipes that come with the program.
SHIPPED = Path(__file__).resolve().parents[1] / "configs"
#: Larger recipes than anybody writes.
_DEEPEST, _MOST_NODES = 40, 100_000
#: What reading YAML runs into: its own errors, numbers of too many digits, too many brackets.
_UNREADABLE = (yaml.YAMLError, OmegaConfBaseException, ValueError, RecursionError)


@dataclass(frozen=True)
class Layer:
    """What one file says, or the command line, without the files that it extends."""

    tree: Mapping[Any, Any]
    folder: Path
    """What relative paths in it start from; absolute."""
    file: Path | None = None
    """None for the command line."""


@dataclass(frozen=True)
class Overrides:
    """`key.sub=value` texts, of a command or of a row in a table."""

    texts: tuple[str, ...]
    folder: Path
    """What relative paths in them start from; absolute."""

    def layer(self, is_raw: Callable[[str], bool] = lambda key: False) -> Layer:
        """What they say.

        Args:
            is_raw: whether the value of a key is taken as it was typed, not read as YAML.

        Raises:
            UserError: one is broken.
        """
        return Layer(_read_overrides(self.texts, is_raw), self.folder)

    def readable(self) -> "Overrides":
        """Those that can be read as YAML and have no `${...}`."""
        found: list[str] = []
        for text in self.texts:
            with suppress(UserError):
                Overrides((text,), self.folder).layer()
                found.append(text)
        return Overrides(tuple(text for text in found if "${" not in text), self.folder)

    @property
    def keys(self) -> list[str]:
        """The keys, dots between all words."""
        return keys_of(self.texts)


def file_layers(path: Path) -> list[Layer]:
    """A recipe file and all that it extends; a later layer wins over an earlier one.

    Raises:
        UserError: a missing or broken file, a circle of `extends`.
    """
    return _file_layers(path, ())


def merge_layers(layers: Sequence[Layer], name: str) -> dict[str, Any]:
    """One plain tree of all layers, interpolations resolved.

    Args:
        name: of the whole, for the errors.

    Raises:
        UserError: an override of a list's element that is not there, a broken interpolation.
    """
    try:
        resolved: Any = OmegaConf.to_container(OmegaConf.create(laid_over(layers)), resolve=True)
    except (OmegaConfBaseException, RecursionError) as error:
        key = getattr(error, "full_key", None) or "interpolations"
        raise UserError(f"{name}: {key}: {str(error).splitlines()[0]}") from error
    return resolved


def laid_over(layers: Sequence[Layer]) -> Any:
    """One tree of all layers, interpolations as they were written.

    Raises:
        UserError: an override of a list's element that is not there.
    """
    merged: Any = {}
    for layer in layers:
        merged = merge(merged, layer.tree)
    return merged


def keys_of(overrides: Sequence[str]) -> list[str]:
    """The keys of `key.sub=value` texts, dots between all words."""
    return [dotted(text).partition("=")[0] for text in overrides]


def dotted(override: str) -> str:
    """A `key[0].sub=value` text with dots between all words of its key."""
    key, equals, value = override.partition("=")
    return re.sub(r"\[(\w+)\]", r".\1", key) + equals + value


def merge(base: Any, over: Any, path: str = "") -> Any:
    """Lay one tree over another; a mapping whose keys are all numbers goes over those elements of a list.

    Args:
        path: where the trees stand in the recipe, for the errors.

    Raises:
        UserError: the list has no such element.
    """
    if isinstance(base, list) and isinstance(over, Mapping) and over and all(str(key).isdigit() for key in over):
        return _with_elements(base, over, path)
    if not isinstance(base, Mapping) or not isinstance(over, Mapping):
        return over
    if is_other_form(base, over):
        return dict(over)
    if "type" in over and over["type"] != base.get("type"):
        base = {key: base[key] for key in shared_settings(base.get("type"), over["type"]) if key in base}
    merged = {key: merge(base.get(key), item, f"{path}.{key}" if path else str(key)) for key, item in over.items()}
    return {**base, **merged}


def _with_elements(base: list[Any], over: Mapping[Any, Any], path: str) -> list[Any]:
    items = list(base)
    for key, item in over.items():
        here = f"{path}.{key}" if path else str(key)
        valid = f"its elements are 0 to {len(base) - 1}" if base else "the list is empty"
        require(int(key) < len(base), f"{here}: no such element of {path or 'the list'}; {valid}")
        items[int(key)] = merge(items[int(key)], item, here)
    return items


def _file_layers(path: Path, children: tuple[Path, ...]) -> list[Layer]:
    path = Path(os.path.realpath(path))
    if path in children:
        circle = " -> ".join(file.name for file in (*children, path))
        raise UserError(f"{path}: `extends` goes in a circle: {circle}")
    own = _read_file(path)
    named = own.pop("extends", None)
    parents = [] if named is None else named if isinstance(named, list) else [named]
    if not all(isinstance(parent, str) for parent in parents):
        raise UserError(f"{path}: extends: expected a recipe file or a list of them, got {named!r}")
    layers = [layer for parent in parents for layer in _file_layers(path.parent / parent, (*children, path))]
    return [*layers, Layer(own, path.parent, path)]


def _read_file(path: Path) -> dict[Any, Any]:
    if not path.is_file():
        found = {file.stem: file for folder in (SHIPPED, path.parent) for file in folder.glob("*.yaml")}
        near = nearest_word(path.stem, found)
        raise UserError(f"{path}: no such recipe." + (f" Did you mean '{_from_here(found[near])}'?" if near else ""))
    try:
        text = path.read_text(encoding="utf-8")
        _check_extent(yaml.compose(text, Loader=yaml.SafeLoader))
        tree = OmegaConf.to_container(OmegaConf.load(io.StringIO(text)), resolve=False)
    except OSError as error:
        raise MachineError(f"{path}: cannot be read: {error.strerror}") from error
    except _UNREADABLE as error:
        raise UserError(f"{path}: not a readable YAML file: {_one_line(error)}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected a mapping with `system`, got a {type(tree).__name__}")
    return tree


def _from_here(path: Path) -> str:
    """A path as it can be given from the current folder."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def _read_overrides(texts: Sequence[str], is_raw: Callable[[str], bool]) -> Any:
    read = OmegaConf.create({})
    for i, (text, key) in enumerate(zip(texts, keys_of(texts), strict=True)):
        if not _OVERRIDE.match(text):
            raise UserError(f"'{text}': expected key.sub=value. {_override_advice(text, texts[:i], texts[i + 1 :])}")
        try:
            value = text.partition("=")[2]
            if value not in ("", "null") and is_raw(key):  # those two take a path away
                OmegaConf.update(read, key, escaped(value))
            else:
                read.merge_with_dotlist([text])
        except _UNREADABLE as error:
            raise UserError(f"'{text[:200]}': {_one_line(error)}") from error
    return OmegaConf.to_container(read, resolve=False)


def _override_advice(text: str, before: Sequence[str], after: Sequence[str]) -> str:
    """What was meant by a word that sets nothing: a setting with its `=` astray, or one of a prompt's words."""
    if text.startswith("=") or (before and before[-1].endswith("=")):
        return "No space goes before or after the '='."
    value = after[0] if after else "VALUE"
    is_number = len(after) == 1 and bool(re.fullmatch(r"-?[\d.]+", value))
    if _KEY.fullmatch(text) and ("." in text or "_" in text or is_number):
        return f"Say {text}={'VALUE' if value.startswith('=') else value}"
    return "A prompt of several words goes in quotes."


def _check_extent(node: yaml.Node | None) -> None:
    """Refuse a few lines of YAML that stand for millions: aliases of aliases, or mappings without an end."""
    sizes: dict[int, int] = {}

    def _size(node: yaml.Node | None, depth: int) -> int:
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} levels deep")
        if not isinstance(node, yaml.CollectionNode):
            if node is not None and "\0" in node.value:  # which ends a path for the system, and is no word of a text
                raise ValueError(f"a NUL character in {node.value[:100]!r}")
            return 1
        if id(node) not in sizes:
            children = [child for item in node.value for child in (item if isinstance(item, tuple) else (item,))]
            sizes[id(node)] = 1 + sum(_size(child, depth + 1) for child in children)
        if sizes[id(node)] > _MOST_NODES:
            raise ValueError(f"its aliases stand for more than {_MOST_NODES:,} values")
        return sizes[id(node)]

    _size(node, 0)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]

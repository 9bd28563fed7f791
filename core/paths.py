"""Paths among a recipe's settings: which there are, and the same recipe with other ones in their place.

A relative path in a recipe file starts from the folder of that file, one on the command line from the current folder.
Reading a recipe makes them absolute (core/recipe.py), so that nothing else needs to know where they were written.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from core.part import Choice, find, names, type_hints
from core.recipe_layers import Layer

T = TypeVar("T")

#: What a setting is annotated with that takes a folder, or a name known elsewhere: `toybox`, a hub id.
FolderOrName = Annotated[str, "a folder or a name"]


def map_paths(settings: T, change: Callable[[str, Any], Any]) -> T:
    """The same settings with each path replaced by what `change` makes of it.

    Args:
        settings: a frozen dataclass such as a Recipe, with all that is nested in it.
        change: takes the path's key, such as `system.geometry.path`, and the path: a Path, or a str for a FolderOrName.
    """
    return _mapped(settings, change, "", None)


def absolute_paths(settings: T, layers: Sequence[Layer], but_in: str = "") -> T:
    """The same settings with each relative path starting from where a recipe's layers set it.

    Args:
        but_in: the name of a folder; paths that begin with it stay as they are.
    """

    def meant(key: str, value: Any) -> Any:
        folder = folder_of(layers, key)
        is_left = bool(but_in) and isinstance(value, Path) and value.parts[:1] == (but_in,)
        if folder is None or is_left:
            return value
        return absolute(value, folder) if isinstance(value, Path) else folder_or_name(value, folder)

    return map_paths(settings, meant)


def folder_of(layers: Sequence[Layer], key: str) -> Path | None:
    """The folder that a path starts from: of the last layer that sets `key`, or the branch in which it stands.

    None where no layer does, and the setting has its default.
    """
    shared = re.sub(r"^exporters\.\d+\.", "exporter.", key)  # `exporter.x` goes to all exporters, and wins
    for name in dict.fromkeys((shared, key)):
        for layer in reversed(layers):
            if _sets(layer.tree, name.split(".")):
                return layer.folder
    return None


def absolute(path: Path, folder: Path) -> Path:
    """A path that was written in a file of this folder.

    Where the folder has nothing of the name and the current folder has, it is that: recipes mean it that were written
    before paths started from the file, and those of old runs.
    """
    path = Path(os.path.expanduser(path))
    near, here = Path(os.path.abspath(folder / path)), Path(os.path.abspath(path))
    return here if here.exists() and not near.exists() else near


def folder_or_name(text: str, folder: Path) -> str:
    """A text with a slash as the folder or file that it means, if there is one; any other text as it stands."""
    meant = absolute(Path(text), folder)
    return str(meant) if "/" in text and meant.exists() else text


def _mapped(value: Any, change: Callable[[str, Any], Any], key: str, annotation: Any) -> Any:
    if isinstance(value, Path) or (isinstance(value, str) and _takes_folder_or_name(annotation)):
        return change(key, value)
    if isinstance(value, Choice):
        return dataclasses.replace(value, config=_mapped(value.config, change, key, None))
    if isinstance(value, tuple):
        return tuple(_mapped(item, change, f"{key}.{i}", annotation) for i, item in enumerate(value))
    if isinstance(value, dict):
        return {name: _mapped(item, change, f"{key}.{name}", annotation) for name, item in value.items()}
    return _with_fields(value, change, f"{key}." if key else "") if dataclasses.is_dataclass(value) else value


def _with_fields(settings: Any, change: Callable[[str, Any], Any], prefix: str) -> Any:
    annotations = type_hints(type(settings))
    before = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings)}
    after = {name: _mapped(value, change, f"{prefix}{name}", annotations[name]) for name, value in before.items()}
    changed = {name: value for name, value in after.items() if value != before[name]}
    return dataclasses.replace(settings, **changed) if changed else settings


def _sets(tree: Any, words: Sequence[str]) -> bool:
    """Whether a layer sets a key; a text on the way to it is an interpolation, which stands for the whole branch."""
    for word in words:
        if isinstance(tree, list):
            tree = dict(enumerate(tree))
        if not isinstance(tree, Mapping):
            return True
        named = {str(key): item for key, item in tree.items()}
        if word not in named:
            return False
        tree = named[word]
    return True


def _takes_folder_or_name(annotation: Any) -> bool:
    return annotation == FolderOrName or any(_takes_folder_or_name(inner) for inner in get_args(annotation))


def takes_path(cls: type, tree: Any, key: str) -> bool:
    """Whether the value of a key such as `system.geometry.path` is a path, or a FolderOrName.

    Args:
        cls: the frozen dataclass that the key begins in, such as Recipe.
        tree: what recipes say; the parts that it chooses decide what settings there are.
    """
    first, *rest = key.split(".")
    if first == "exporter" and isinstance(tree, Mapping):  # `exporter.x` goes to all exporters
        listed = tree.get("exporters")
        n_listed = len(listed) if isinstance(listed, list) else 0
        return any(takes_path(cls, tree, ".".join(["exporters", str(i), *rest])) for i in range(n_listed))
    return any(each in (Path, FolderOrName) for each in _annotations(cls, tree, [first, *rest]))


def _annotations(annotation: Any, tree: Any, words: Sequence[str]) -> Iterator[Any]:
    """What a setting may be, words below what `annotation` describes."""
    origin = get_origin(annotation)
    if origin in (Union, UnionType):
        for option in get_args(annotation):
            yield from _annotations(option, tree, words)
        return
    if not words:
        yield annotation
        return
    word, *rest = words
    items = tree.items() if isinstance(tree, Mapping) else enumerate(tree if isinstance(tree, list) else ())
    named = {str(name): item for name, item in items}
    if origin is Choice:
        kind, name = get_args(annotation)[0].kind, str(named.get("type"))
        annotation = find(kind, name).Config if name in names(kind) else None
    if dataclasses.is_dataclass(annotation):
        hints = type_hints(annotation)
        below = [hints[word]] if word in hints else []
    else:
        below = [each for each in get_args(annotation) if origin in (tuple, dict) and each is not Ellipsis]
    for each in below:
        yield from _annotations(each, named.get(word), rest)

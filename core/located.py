"""Texts of a recipe that know where they were said, so that a relative path among them means one place for everyone.

A path in a recipe file starts from the folder of that file, one on the command line from the current folder. Which
settings are paths is known only when a recipe is read, after the files that say them have been merged.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

#: What a setting is annotated with that takes a folder, or a name known elsewhere: `toybox`, a hub id.
FolderOrName = Annotated[str, "a folder or a name"]


class Located(str):
    """A text, and the folder that it starts from where it is a path."""

    folder: Path

    def __new__(cls, text: str, folder: Path) -> "Located":
        """
        Args:
            folder: absolute.
        """
        made = super().__new__(cls, text)
        made.folder = folder
        return made


def as_path(text: str) -> Path:
    """A text as a path, absolute if the text knows its folder.

    Where that folder has nothing of the name and the current folder has, it is that: so recipes say it that were
    written before paths started from the file, and the recipes of old runs.
    """
    if not isinstance(text, Located):
        return Path(text)
    near, here = Path(os.path.abspath(text.folder / text)), Path(os.path.abspath(text))
    return here if here.exists() and not near.exists() else near


def folder_or_name(text: str) -> str:
    """A text with a slash as the folder that it means, if there is one; any other text as it stands."""
    folder = as_path(text)
    return str(folder) if "/" in text and folder.is_dir() else str(text)


def located(tree: Any, folder: Path) -> Any:
    """A plain tree whose texts start from a folder."""
    return with_places(tree, Located("", folder))


def unlocated(tree: Any) -> Any:
    """The same tree with common texts, for readers that know no others."""
    if isinstance(tree, Mapping):
        return {key: unlocated(item) for key, item in tree.items()}
    if isinstance(tree, list):
        return [unlocated(item) for item in tree]
    return str(tree) if isinstance(tree, str) else tree


def with_places(tree: Any, places: Any) -> Any:
    """A plain tree whose texts start from where those of another tree do, or the text in which its branch stood there.

    Args:
        places: the tree before its interpolations were resolved, so that a text there may be a whole branch here.
    """
    if isinstance(tree, Mapping):
        known = places if isinstance(places, Mapping) else dict.fromkeys(tree, places)
        return {key: with_places(item, known.get(key)) for key, item in tree.items()}
    if isinstance(tree, list):
        known = places if isinstance(places, list) else [places] * len(tree)
        return [with_places(item, place) for item, place in zip(tree, known, strict=True)]
    return Located(tree, places.folder) if isinstance(tree, str) and isinstance(places, Located) else tree

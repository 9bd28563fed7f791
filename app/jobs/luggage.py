"""What a job takes along to a machine that does not see this one's disks, and what it brings back.

Files and folders that recipes read travel once each, whichever jobs read them; a job's own folder goes with it where
there is something to go on from.
"""

import io
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.inputs import files_of
from app.jobs.folder import Task
from core.files import whole_folder


@dataclass(frozen=True)
class Pieces:
    """Ray's references to the files that a job reads, by their path on the driver's machine; and the job's folder,
    where it has begun before."""

    files: dict[str, Any]
    folder: bytes | None

    def unpacked(self, task: Task, home: Path, get: Callable[[Any], bytes]) -> Task:
        """The task as it can be done here, all that it reads unpacked into a folder; what is there already is kept."""
        places: dict[str, str] = {}
        for path, promise in self.files.items():
            place = home / "inputs" / sha256(path.encode()).hexdigest()[:16]
            if not place.is_dir():
                _unpack(get(promise), place)
            places[path] = str(place / Path(path).name)
        folder = home / "jobs" / task.id
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if self.folder is not None:
            _unpack(self.folder, folder)
        return replace(
            task, folder=folder, recipes=tuple((_with_places(each, places), named) for each, named in task.recipes)
        )


class Luggage:
    """Packs what jobs read, each file once."""

    def __init__(self, put: Callable[[bytes], Any]) -> None:
        """
        Args:
            put: makes something available everywhere, and gives a promise of it.
        """
        self.put = put
        self._packed: dict[str, Any] = {}

    def of(self, task: Task) -> Pieces:
        """What one job takes along."""
        paths = {path for recipe, _ in task.recipes for path in _paths_in(recipe)}
        for path in paths - set(self._packed):
            self._packed[path] = self.put(_packed(files_of(Path(path))))
        has_begun = any(task.folder.glob("**/*.ckpt"))
        return Pieces({path: self._packed[path] for path in paths}, packed_folder(task.folder) if has_begun else None)


def packed_folder(folder: Path) -> bytes:
    """All files of a folder."""
    return _packed({str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()})


def unpacked_folder(content: bytes, folder: Path) -> None:
    """Put a folder in the place of the one that is there, whole or not at all."""
    with whole_folder(folder) as incoming:
        _unpack(content, incoming)


def _packed(files: dict[str, Path]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", strict_timestamps=False) as archive:
        for name, path in files.items():
            archive.write(path, name)
    return content.getvalue()


def _unpack(content: bytes, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)


def _paths_in(tree: Any) -> set[str]:
    """The texts of a recipe that are files or folders of this machine."""
    if isinstance(tree, dict):
        return {path for name, item in tree.items() if name != "prompt" for path in _paths_in(item)}
    if isinstance(tree, list):
        return {path for item in tree for path in _paths_in(item)}
    return {tree} if isinstance(tree, str) and tree.startswith("/") and Path(tree).exists() else set()


def _with_places(tree: Any, places: dict[str, str]) -> Any:
    if isinstance(tree, dict):
        return {name: _with_places(item, places) for name, item in tree.items()}
    if isinstance(tree, list):
        return [_with_places(item, places) for item in tree]
    return places.get(tree, tree) if isinstance(tree, str) else tree

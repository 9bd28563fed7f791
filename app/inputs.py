"""Copies of what a run reads: meshes, sketches, folders of pictures. So its folder is whole, wherever it is moved.

    inputs/inputs.json                           digests of all copies, by the setting that reads them
    inputs/system.geometry.path/car.obj          ... with the files that it refers to
    inputs/system.guidance.folder/views/         a folder with all that is in it

Export and resume read the copies: an original that was edited since would no longer fit what was trained on it.
"""

import logging
import os
import shutil
from hashlib import file_digest
from pathlib import Path
from typing import Any

from core.environment import as_shown
from core.errors import UserError
from core.files import parse_json, write_json
from core.paths import map_paths
from core.recipe import Recipe
from geometry.companions import companions

log = logging.getLogger(__name__)

INPUTS, INDEX = "inputs", "inputs.json"
#: Of a recipe, where paths are files that are read.
_SECTIONS = ("system.", "exporters.")


def copied_paths(recipe: Recipe) -> dict[str, Path]:
    """What a run of this recipe keeps a copy of, by setting. Missing files are left to the parts that read them."""
    found: dict[str, Path] = {}

    def note(key: str, value: Any) -> Any:
        if _is_input(key, value) and value.exists():
            found[key] = value
        return value

    map_paths(recipe, note)
    return found


def inputs_missing(recipe: Recipe) -> list[str]:
    """One fault for each file or folder that a recipe reads and that is not there."""
    faults: list[str] = []
    there = copied_paths(recipe)

    def look(key: str, value: Any) -> Any:
        is_folder = isinstance(value, str) and value.startswith(("/", "./", "../", "~")) and key.startswith("system.")
        if is_folder and not Path(value).expanduser().is_dir():
            faults.append(f"{key}: {value}: no such folder")
        elif isinstance(value, Path) and value.is_absolute() and key.startswith(_SECTIONS) and key not in there:
            faults.append(f"{key}: {value}: no such file")
        return value

    map_paths(recipe, look)
    return faults


def keep_inputs(recipe: Recipe, folder: Path) -> Recipe:
    """Copy what a new run reads into its folder; gives the recipe that reads the copies.

    Raises:
        UserError: something cannot be copied.
    """
    originals = copied_paths(recipe)
    names = {key: _own_name(recipe, key, path) for key, path in originals.items()}
    index: dict[str, Any] = {}
    for key, path in originals.items():
        try:
            for name, file in files_of(path, names[key]).items():
                copy = folder / INPUTS / key / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
            index[key] = {"name": names[key], "sha256": content_digests(_copy(folder, key, names[key]))}
        except OSError as error:
            raise UserError(f"{key}: {path} cannot be copied into the run's folder: {error}") from error
    if index:
        write_json(folder / INPUTS / INDEX, index)
    return map_paths(recipe, lambda key, value: _copy(folder, key, names[key]) if key in originals else value)


def with_copies(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe of a run that is there, or of the command that made it, reading the run's own copies.

    Raises:
        UserError: a copy has changed since it was made, or the recipe names a file of other content.
    """
    index = _read_index(folder)

    def own_copy(key: str, value: Any) -> Any:
        """What the run reads for a setting."""
        if not _is_input(key, value):
            return value
        if key not in index:
            if not value.is_relative_to(folder.absolute()):
                log.info("%s: made before runs kept copies; %s is read where it lies: %s", folder, key, value)
            return value
        name, digests = index[key]["name"], index[key]["sha256"]
        copy = _copy(folder, key, name)
        if {each: content_digests(copy).get(each) for each in digests} != digests:
            raise UserError(f"{copy}: has changed since the run was made; put the original back, or start a new run")
        if value != copy and value.exists() and sorted(content_digests(value).values()) != sorted(digests.values()):
            raise UserError(f"{key}: {value} is not what {folder} was made from; leave it out, or start a new run")
        return copy

    return map_paths(recipe, own_copy)


def _is_input(key: str, value: Any) -> bool:
    """Whether a setting is a file or folder that a part reads; plugins and a run to begin with are neither."""
    return isinstance(value, Path) and key.startswith(("system.", "exporters."))


def _copy(folder: Path, key: str, name: str) -> Path:
    return Path(os.path.abspath(folder / INPUTS / key / name))


def _own_name(recipe: Recipe, key: str, path: Path) -> str:
    """The name of the copy: the original's, unless that is somebody's secret, which came from the environment."""
    shown = as_shown(str(path), recipe.environment, key)
    return path.name if "${" not in shown.rpartition("/")[2] else f"input{path.suffix}"


def files_of(path: Path, name: str | None = None) -> dict[str, Path]:
    """The files behind a setting, by the names that their copies have; runs that lie in a folder are left out.

    Args:
        name: what a copy of the path itself is called; None for its own name.
    """
    name = name or path.name
    if not path.is_dir():
        return {name: path, **{other: path.parent / other for other in companions(path)}}
    found: list[Path] = []
    for root, folders, files in os.walk(path):
        folders[:] = [name for name in folders if not (Path(root) / name / "recipe.yaml").is_file()]
        found += [Path(root) / name for name in files]
    return {f"{name}/{os.path.relpath(file, path)}": file for file in sorted(found) if file.is_file()}


def content_digests(path: Path) -> dict[str, str]:
    """The hash of a file and of each that it refers to, or of all files of a folder, by name."""
    digests: dict[str, str] = {}
    for name, file in files_of(path).items():
        with file.open("rb") as content:
            digests[name] = file_digest(content, "sha256").hexdigest()
    return digests


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INPUTS / INDEX
    if not path.is_file():
        return {}
    try:
        index = parse_json(path.read_text(encoding="utf-8"))
        if any(Path(kept["name"]).name != kept["name"] for kept in index.values()):
            raise ValueError("a name that leads out of the folder")
        return {str(key): {"name": str(kept["name"]), "sha256": dict(kept["sha256"])} for key, kept in index.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: not a readable index of the run's inputs: {error}") from error

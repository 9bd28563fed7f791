"""What a file made of a trained system remembers of where it comes from."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.environment import as_shown
from core.kinds import System
from core.paths import map_paths
from core.setting_paths import plain

#: What the bytes of an exported file depend on.
PACKAGES = ("torch", "diffusers", "numpy", "trimesh", "PyMCubes", "fast-simplification", "xatlas")


def provenance(system: System) -> dict[str, Any]:
    """Prompt, seed, length, the method with all its settings, and the versions of what made it.

    Files and folders are named without the way to them: it differs from machine to machine, and is nobody's business.
    """

    def named(key: str, path: Path | str) -> Path | str:
        shown = as_shown(str(path), system.environment, f"system.{key}")
        return _file_name(path) if shown == str(path) else (Path(shown) if isinstance(path, Path) else shown)

    settings = plain(map_paths(system.config, named))
    return {
        "prompt": system.shown_prompt,
        "seed": system.seed,
        "steps": system.total_steps,
        "system": {"type": system.part_name, **as_shown(settings, system.environment, "system")},
        "versions": versions(),
    }


def shared_notes(system: System) -> dict[str, Any]:
    """What may travel in a file that people hand on: prompt and versions, and nothing of the recipe."""
    return {"prompt": system.shown_prompt, "versions": versions()}


def _file_name(path: Path | str) -> Path | str:
    """The last word of a Path, and of a FolderOrName that is a folder; a hub id such as owner/name stays."""
    if isinstance(path, Path):
        return Path(path.name)
    return Path(path).name if Path(path).is_absolute() else path


def versions() -> dict[str, str]:
    """Python's and the packages' versions, by name; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

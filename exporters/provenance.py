"""What a file made of a trained system remembers of where it comes from."""

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from core.kinds import System
from core.settings import plain

#: What the bytes of an exported file depend on.
PACKAGES = ("torch", "diffusers", "numpy", "trimesh", "PyMCubes", "fast-simplification", "xatlas")


def provenance(system: System) -> dict[str, Any]:
    """Prompt, seed, length, the method with all its settings, and the versions of what made it."""
    return {
        "prompt": system.prompt,
        "seed": system.seed,
        "steps": system.total_steps,
        "system": {"type": system.part_name, **plain(system.config)},
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Python's and the packages' versions, by name; those not installed are left out."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

"""Brings the parts of the house into the registry; users' own come with recipes and --plugin (core/plugins.py)."""

import importlib
import pkgutil
from functools import cache

FLOORS = ("geometry", "guidance", "renderers", "systems", "exporters")
#: Holds no parts, and needs Triton, which most machines lack; the backend that runs on it imports it.
WITHOUT_PARTS = "geometry.kernels."


@cache
def register_parts() -> None:
    """Import every module of the floors that hold parts, in whatever sub-package.

    Heavy packages are not imported before a part that needs them is built.
    """
    for floor in FLOORS:
        package = importlib.import_module(floor)
        for module in pkgutil.walk_packages(package.__path__, f"{floor}."):
            if not module.name.startswith(WITHOUT_PARTS):
                importlib.import_module(module.name)

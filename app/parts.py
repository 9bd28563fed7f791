"""Brings this repository's parts into the registry; users' own come with recipes and --plugin (core/plugins.py)."""

import importlib
import pkgutil
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from core.environment import FromEnvironment
from core.plugins import load_plugin
from core.recipe import Recipe, check_recipe
from core.setting_paths import plain

FLOORS = ("geometry", "guidance", "renderers", "systems", "exporters")
#: Holds no parts, and needs Triton, which most machines lack; the backend that runs on it imports it.
WITHOUT_PARTS = "geometry.kernels."
#: A recipe as plain values, for another process: its settings, and what of them names the environment.
PackedRecipe = tuple[dict[str, Any], tuple[FromEnvironment, ...]]


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


def packed_recipe(recipe: Recipe) -> PackedRecipe:
    """A recipe that has been read, to be sent to another process."""
    return dict(plain(recipe)), recipe.environment


def unpacked_recipe(packed: PackedRecipe) -> Recipe:
    """The recipe that another process has read; its parts are registered here."""
    mapping, environment = packed
    register_parts()
    for plugin in mapping["plugins"]:
        load_plugin(Path(plugin))
    return replace(check_recipe(mapping), environment=environment)

"""Recipes: YAML files that name parts and their settings. OmegaConf reads and interpolates; nobody else sees it.

    extends: base/toybox.yaml         # or a list; relative to this file; a later file wins over an earlier one
    system:
      type: latent-nerf
      geometry: {type: hash-grid, n_levels: 8}

What wins over what is said in core/merging.py. On the command line, `key.sub=value` does the same; the value is read as
YAML, and a number as a key (`exporters.0.format=obj`) means that element of a list; `exporter.format=obj` means all
exporters that have such a setting. A relative path starts from the folder of the file that says it, on the command line
from the current folder.
"""

import dataclasses
import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from core.errors import UserError, did_you_mean, require
from core.kinds import Exporter, System
from core.located import located, unlocated, with_places
from core.merging import merge
from core.part import Choice, find, names
from core.settings import plain, read_settings


@dataclass(frozen=True)
class TrainerConfig:
    """How long to train, and what to show and keep on the way."""

    max_steps: int = 1000
    """Optimiser steps."""
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    """Lightning's name; `auto` is 16-mixed on a GPU and 32-true on a CPU."""
    preview_every: int = 250
    """Steps between contact sheets; 0 for none before the end."""
    checkpoint_every: int = 250
    """Steps between checkpoints; 0 for none before the end."""
    n_preview_views: int = 4
    """Views on a contact sheet."""
    gradient_clip: float | None = None
    """Largest norm of the gradient, or null for no limit."""

    def __post_init__(self) -> None:
        require(self.max_steps >= 1, f"max_steps: at least 1, got {self.max_steps}")
        require(self.preview_every >= 0, f"preview_every: at least 0, got {self.preview_every}")
        require(self.checkpoint_every >= 0, f"checkpoint_every: at least 0, got {self.checkpoint_every}")
        require(self.n_preview_views >= 1, f"n_preview_views: at least 1, got {self.n_preview_views}")
        clip = self.gradient_clip
        require(clip is None or clip > 0, f"gradient_clip: above 0, or null for no limit, got {clip}")


@dataclass(frozen=True)
class Recipe:
    """All that a run is made of, read and checked, nothing built yet."""

    system: Choice[System]
    """The method, with its parts."""
    trainer: TrainerConfig = field(default_factory=TrainerConfig)
    """How long to train, and what to show and keep on the way."""
    exporters: tuple[Choice[Exporter], ...] = ()
    """What to make of the trained object."""
    prompt: str = ""
    """What to make, in words; --prompt wins."""
    start_from: Path | None = None
    """Run that training begins with, for methods that refine what another has made; --from wins."""
    seed: int = 0
    """Start of every random stream."""
    plugins: tuple[str, ...] = ()
    """Python files with further parts, relative to the recipe."""

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, f"seed: from 0 to 2^32 - 1, got {self.seed}")


def load_recipe(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read a recipe file with all that it extends, apply `key.sub=value` texts, and resolve interpolations.

    Its texts know where they were said (core/located.py), so that paths among them can be made absolute.
    The result is plain and not yet checked: plugins must be loaded before the names of parts can be (read_recipe).

    Raises:
        UserError: a missing or broken file, a circle of `extends`, a broken override or interpolation.
    """
    merged = merge(_with_parents(path, ()), located(_overrides(overrides), Path.cwd()))
    try:
        resolved = OmegaConf.to_container(OmegaConf.create(unlocated(merged)), resolve=True)
        return with_places(resolved, merged)
    except OmegaConfBaseException as error:
        raise UserError(f"{path}: {error.full_key or ''}: {_first_line(error)}") from error


def read_recipe(mapping: Mapping[Any, Any]) -> Recipe:
    """Check a loaded recipe strictly.

    Raises:
        UserError: one line for each fault.
    """
    faults: list[str] = []
    settled = _with_exporter_settings(mapping, faults)
    return read_settings(Recipe, settled, owner="a recipe", found_before=faults)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every default spelt out, without the prompt (a raw text, which YAML is no place for)."""
    mapping = plain(recipe)
    del mapping["prompt"]
    return OmegaConf.to_yaml(OmegaConf.create(_escaped(mapping)))


def _with_exporter_settings(mapping: Mapping[Any, Any], faults: list[str]) -> Mapping[Any, Any]:
    """A recipe whose `exporter.format=obj` has gone to every exporter that has such a setting; a fault if none has."""
    shared, listed = mapping.get("exporter"), mapping.get("exporters")
    if not isinstance(shared, Mapping) or not isinstance(listed, list):
        return mapping
    exporters = [dict(item) if isinstance(item, Mapping) else item for item in listed]
    settings = [_settings_of(item) for item in exporters]
    for key, value in shared.items():
        if not any(key in known for known in settings):
            near = did_you_mean(str(key), set().union(*settings))
            faults.append(f"exporter.{key}: no exporter of this recipe has such a setting. {near}")
        for item, known in zip(exporters, settings, strict=True):
            if key in known:
                item[key] = value
    return {**{key: item for key, item in mapping.items() if key != "exporter"}, "exporters": exporters}


def _settings_of(exporter: Any) -> set[str]:
    """The names of an exporter's settings; none for what is no exporter, which is told when the recipe is read."""
    name = exporter.get("type") if isinstance(exporter, Mapping) else None
    if name not in names("exporter"):
        return set()
    return {setting.name for setting in dataclasses.fields(find("exporter", str(name)).Config)}


def _with_parents(path: Path, children: tuple[Path, ...]) -> dict[Any, Any]:
    path = path.resolve()
    if path in children:
        circle = " -> ".join(file.name for file in (*children, path))
        raise UserError(f"{path}: `extends` goes in a circle: {circle}")
    own = located(_read_file(path), path.parent)
    parents = own.pop("extends", [])
    merged: dict[Any, Any] = {}
    for parent in [parents] if isinstance(parents, str) else parents or []:
        merged = merge(merged, _with_parents(path.parent / str(parent), (*children, path)))
    if isinstance(own.get("plugins"), list):
        own["plugins"] = [str((path.parent / str(plugin)).resolve()) for plugin in own["plugins"]]
    return merge(merged, own)


def _read_file(path: Path) -> dict[Any, Any]:
    if not path.is_file():
        near = difflib.get_close_matches(path.name, [file.name for file in path.parent.glob("*.yaml")], n=1)
        raise UserError(f"{path}: no such recipe." + (f" Did you mean '{near[0]}'?" if near else ""))
    try:
        tree = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (yaml.YAMLError, OmegaConfBaseException, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: not a readable YAML file: {_one_line(error)}") from error
    if not isinstance(tree, dict):
        raise UserError(f"{path}: expected a mapping with `system`, got a {type(tree).__name__}")
    return tree


def _overrides(texts: Sequence[str]) -> Any:
    for text in texts:
        if not re.match(r"[A-Za-z_][\w.\[\]-]*=", text):
            raise UserError(f"'{text}': expected key.sub=value. A prompt of several words goes in quotes.")
        try:
            OmegaConf.from_dotlist([text])
        except (yaml.YAMLError, OmegaConfBaseException) as error:
            raise UserError(f"'{text}': {_one_line(error)}") from error
    return OmegaConf.to_container(OmegaConf.from_dotlist(list(texts)), resolve=False)


def _escaped(tree: Any) -> Any:
    """Keep OmegaConf from taking `${` in a resolved text for an interpolation when the text is read again."""
    if isinstance(tree, str):
        return re.sub(r"(\\*)\$\{", r"\1\1\\${", tree)
    if isinstance(tree, dict):
        return {key: _escaped(item) for key, item in tree.items()}
    return [_escaped(item) for item in tree] if isinstance(tree, list) else tree


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())

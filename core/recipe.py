"""Recipes: YAML files that name parts and their settings, read in one pass: read, extend, override, check.

    extends: base/toybox.yaml         # or a list; from this file's folder; a later one wins over an earlier one
    system:
      type: latent-nerf
      geometry: {type: hash-grid, n_levels: 8}

core/recipe_layers.py says what wins over what. On the command line, `key.sub=value` does the same; the value is read as
YAML, that of a path as it was typed, and a number as a key (`exporters.0.format=obj`) means that element of a list;
`exporter.format=obj` means all exporters that have such a setting. `~` is the home folder. A relative path starts
from the folder of the file that it stands in, on the command line from the current folder.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from core.environment import FromEnvironment, as_shown, as_written, escaped, from_environment, values_hidden
from core.errors import did_you_mean, require
from core.kinds import Exporter, System, TrainerConfig
from core.part import NO_SETTING, Choice, find, names
from core.paths import absolute, absolute_paths, folder_of, takes_path
from core.plugins import is_foreign, load_plugin, require_trust
from core.recipe_layers import Layer, Overrides, file_layers, keys_of, laid_over, merge_layers
from core.setting_paths import plain
from core.settings import read_settings


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
    plugins: tuple[Path, ...] = ()
    """Python files with further parts, relative to the recipe."""
    environment: tuple[FromEnvironment, ...] = field(default=(), metadata=NO_SETTING)
    """Settings given as `${oc.env:NAME}`; files that are written hold the variable's name, not its value."""

    @property
    def shown_prompt(self) -> str:
        """The prompt as it is written down and shown."""
        return as_shown(self.prompt, self.environment, "prompt")

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**32, f"seed: from 0 to 2^32 - 1, got {self.seed}")
        geometry = getattr(self.system.config, "geometry", None)
        for i, choice in enumerate(self.exporters):
            reason = choice.part.misfit(self.system.part, geometry and geometry.part)
            require(reason is None, f"exporters.{i}: '{choice.part.part_name}' {reason}")


def read_recipe(
    path: Path, overrides: Sequence[str] = (), plugins: Sequence[Path] = (), *, trust: bool = False
) -> Recipe:
    """Read a recipe file and all that it extends, apply `key.sub=value` texts, load plugins, and check it strictly.

    Every path in the result is absolute.

    Args:
        plugins: further files with parts, beside those that the recipe names.
        trust: whether code may be run that a run or another user's recipe names.

    Raises:
        UserError: a broken file, override, interpolation or plugin; or one line for each fault of the settings.
    """
    said = [Overrides(tuple(overrides), Path.cwd())]
    return recipe_of(file_layers(path), said, path, plugins, trust=trust)


def recipe_of(
    files: Sequence[Layer],
    said: Sequence[Overrides],
    path: Path,
    plugins: Sequence[Path] = (),
    *,
    trust: bool = False,
    previous: str = "",
) -> Recipe:
    """The recipe that layers of files and what is said beside them make together; see `read_recipe`.

    Args:
        path: of the recipe's own file, for the errors.
        previous: the folder that a stage's paths begin with where they are of the stage before; they stay as they are.
    """
    said_at_all = str([layer.tree for layer in files] + [each.texts for each in said])
    with values_hidden(said_at_all):
        own = tuple(absolute(plugin, Path.cwd()) for plugin in plugins)
        mapping = load_plugins(files, said, path, own, trust)

        # Now that plugins are known, so are the types of all settings: what is a path is taken as it was typed, and a
        # part that takes another's place keeps what both have.
        layers = [*files, *(each.layer(lambda key: takes_path(Recipe, mapping, key)) for each in said)]
        recipe = absolute_paths(check_recipe(merge_layers(layers, str(path))), layers, previous)
        named = from_environment(laid_over(layers))
        return dataclasses.replace(
            recipe,
            plugins=tuple(dict.fromkeys([*recipe.plugins, *own])),
            environment=(*named, *(_from_folder(one, layers) for one in named)),
        )


def load_plugins(
    files: Sequence[Layer], said: Sequence[Overrides], path: Path, own: Sequence[Path], trust: bool
) -> dict[str, Any]:
    """Load the plugins that layers name; gives the tree that they make together, as far as it can be read by then.

    Args:
        own: further plugins; of the command line.

    Raises:
        UserError: a plugin is missing, fails or is not trusted, or the layers do not go together.
    """
    layers = [*files, *(each.readable().layer() for each in said)]
    mapping = merge_layers(layers, str(path))
    named = mapping.get("plugins")
    listed = [
        absolute(Path(str(name)), folder_of(layers, f"plugins.{i}") or Path.cwd())
        for i, name in enumerate(named if isinstance(named, list) else [])
    ]
    unasked = [plugin for plugin in listed if plugin not in own]
    if unasked and not trust and any(layer.file and is_foreign(layer.file) for layer in layers):
        require_trust(unasked, path)
    for plugin in (*listed, *own):
        load_plugin(plugin)
    return mapping


def with_named_exporters(recipe: Recipe, overrides: Sequence[str]) -> Recipe:
    """The recipe with those exporters alone that overrides speak of, where they speak of nothing else."""
    keys = [key.split(".") for key in keys_of(overrides)]
    if not keys or any(words[0] not in ("exporter", "exporters") or len(words) < 2 for words in keys):
        return recipe
    chosen = []
    for i, choice in enumerate(recipe.exporters):
        own = {setting.name for setting in dataclasses.fields(choice.config)}
        if any(words[1] in own if words[0] == "exporter" else words[1] == str(i) for words in keys):
            chosen.append(choice)
    return dataclasses.replace(recipe, exporters=tuple(chosen))


def check_recipe(mapping: Mapping[Any, Any]) -> Recipe:
    """The recipe that a plain mapping holds, checked strictly; relative paths in it stay as they are.

    Raises:
        UserError: one line for each fault.
    """
    faults: list[str] = []
    spread = _with_exporter_settings(mapping, faults)
    return read_settings(Recipe, spread, owner="a recipe", found_before=faults)


def dump_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every default spelt out, without the prompt (a raw text, which YAML is no place for)."""
    return OmegaConf.to_yaml(OmegaConf.create(written_settings(recipe)))


def written_settings(recipe: Recipe) -> Any:
    """The tree that `dump_recipe` writes."""
    mapping = plain(recipe)
    if recipe.shown_prompt == recipe.prompt:
        del mapping["prompt"]
    return as_written(mapping, recipe.environment)


def _from_folder(named: FromEnvironment, layers: Sequence[Layer]) -> FromEnvironment:
    """The same setting as it would be written where it is a path that has been made absolute."""
    folder = folder_of(layers, named.key.replace("#", "0")) or Path.cwd()
    value = str(absolute(Path(str(named.value)), folder))
    if not value.endswith(str(named.value)):
        return dataclasses.replace(named, value=value)
    start = value.removesuffix(str(named.value))
    return dataclasses.replace(named, written=escaped(start) + named.written, shown=start + named.shown, value=value)


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
    """The names of an exporter's settings; none for what is no exporter, a fault that reading the settings reports."""
    name = exporter.get("type") if isinstance(exporter, Mapping) else None
    if name not in names("exporter"):
        return set()
    return {setting.name for setting in dataclasses.fields(find("exporter", str(name)).Config)}

"""Recipes of several stages, each a recipe of its own that goes on from what the one before has made.

    prompt: a red mushroom                    # said of all stages, as is whatever else stands outside of `stages`
    stages:
      - extends: latent-nerf.yaml
      - extends: latent-nerf-rgb.yaml         # begins with the run before: its method refines one
      - extends: latent-paint.yaml
        system: {geometry: {path: previous/mesh.glb, start: own-texture}}

A path that begins with `previous` is one in the folder of the stage before. What a stage says wins over what is said of
all, and both win over what the stage extends. On the command line, `trainer.max_steps=10` is said of all stages,
`stages.0.trainer.max_steps=10` of the first.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from core.errors import UserError
from core.part import Part, find
from core.paths import map_paths
from core.recipe import Recipe, load_plugins, recipe_of, written_settings
from core.recipe_layers import Layer, Overrides, dotted, file_layers

KEY, PREVIOUS = "stages", "previous"


def read_stages(
    path: Path, overrides: Sequence[str] = (), plugins: Sequence[Path] = (), *, trust: bool = False
) -> tuple[Recipe, ...]:
    """The recipes of all stages of a file; one, where it has no stages.

    Raises:
        UserError: see `core.recipe.read_recipe`.
    """
    return stages_of(file_layers(path), [Overrides(tuple(overrides), Path.cwd())], path, plugins, trust)


def stages_of(
    files: Sequence[Layer], said: Sequence[Overrides], path: Path, plugins: Sequence[Path] = (), trust: bool = False
) -> tuple[Recipe, ...]:
    """The recipes that layers of files and what is said beside them make together, see `read_stages`."""
    listed = _listed(files, path)
    if listed is None:
        return (recipe_of(files, said, path, plugins, trust=trust),)
    faults = [fault for each in said for key in each.keys for fault in _unfit(key, len(listed))]
    recipes: list[Recipe] = []
    for i in range(len(listed)):
        try:
            own = _files_of(i, listed, files), _said_of(i, said), path, plugins
            recipes.append(_going_on(recipe_of(*own, trust=trust, previous=PREVIOUS), i))
        except UserError as error:
            faults += [f"{KEY}.{i}: {line}" for line in str(error).splitlines()]
    if not faults:
        faults = [line for i in range(1, len(recipes)) for line in _never_made(i, recipes[i], recipes[i - 1])]
    if faults:
        raise UserError("\n".join(faults))
    return tuple(recipes)


def first_system(
    files: Sequence[Layer], said: Sequence[Overrides], path: Path, trust: bool = False
) -> tuple[type[Part], str]:
    """The system of the first stage, plugins loaded; and what the keys of its settings begin with.

    Raises:
        UserError: there is none of its name.
    """
    listed = _listed(files, path)
    if listed is not None:
        files, said = _files_of(0, listed, files), _said_of(0, said)
    chosen = load_plugins(files, said, path, (), trust).get("system")
    part = find("system", str(chosen.get("type") if isinstance(chosen, Mapping) else chosen))
    return part, "" if listed is None else f"{KEY}.0."


def with_previous(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe of a stage that reads what the run in a folder has made."""
    own = Path(PREVIOUS)
    return map_paths(
        recipe,
        lambda key, value: folder / value.relative_to(own) if is_previous(value) else value,
    )


def is_previous(value: Any) -> bool:
    """Whether a setting is a path to what the stage before has made."""
    return isinstance(value, Path) and value.parts[:1] == (PREVIOUS,)


def dump_stages(recipes: Sequence[Recipe]) -> str:
    """The recipes of all stages as one YAML file; see `core.recipe.dump_recipe`."""
    return OmegaConf.to_yaml(OmegaConf.create({KEY: [written_settings(recipe) for recipe in recipes]}))


def _listed(files: Sequence[Layer], path: Path) -> Sequence[Mapping[Any, Any]] | None:
    """What the last file that lists stages says of each; None where none does."""
    found = [layer.tree[KEY] for layer in files if KEY in layer.tree]
    if not found:
        return None
    listed = found[-1]
    if not isinstance(listed, list) or not listed or not all(isinstance(stage, Mapping) for stage in listed):
        raise UserError(f"{path}: {KEY}: expected a list of recipes, such as [{{extends: latent-nerf.yaml}}]")
    return listed


def _files_of(i: int, listed: Sequence[Mapping[Any, Any]], files: Sequence[Layer]) -> list[Layer]:
    """What files say of a stage: what it extends, then what is said of all stages, then of itself."""
    last = [layer for layer in files if KEY in layer.tree][-1]
    folder = last.folder
    named = listed[i].get("extends") or []
    parents = named if isinstance(named, list) else [named]
    extended = [layer for parent in parents for layer in file_layers(folder / str(parent))]
    of_all = [replace(each, tree={key: value for key, value in each.tree.items() if key != KEY}) for each in files]
    own = {key: value for key, value in listed[i].items() if key != "extends"}
    return [*extended, *of_all, replace(last, tree=own)]


def _said_of(i: int, said: Sequence[Overrides]) -> list[Overrides]:
    """Overrides of all stages, and those of one, by its number."""
    found: list[Overrides] = []
    for each in said:
        texts = [dotted(text) for text in each.texts]
        of_all = tuple(text for text in texts if text.partition("=")[0].split(".")[0] != KEY)
        prefix = f"{KEY}.{i}."
        own = tuple(text.removeprefix(prefix) for text in texts if text.startswith(prefix))
        found += [Overrides(of_all, each.folder), Overrides(own, each.folder)]
    return found


def _unfit(key: str, n_stages: int) -> list[str]:
    """A fault of a key of an override that is of no stage, or of no setting of one."""
    first, *rest = key.split(".")
    if first != KEY:
        return []
    if rest[:1] not in ([str(i)] for i in range(n_stages)):
        return [f"{key}: no such stage; there are {n_stages}, from 0 on"]
    return [] if len(rest) > 1 else [f"{key}: say which setting of it, such as {key}.trainer.max_steps=10"]


def _never_made(i: int, recipe: Recipe, before: Recipe) -> list[str]:
    """A fault for each file of the stage before that nobody will have made."""
    read: list[str] = []
    writes = [pattern for choice in before.exporters for pattern in choice.part.writes]

    def look(key: str, value: Any) -> Any:
        if is_previous(value) and len(value.parts) == 2 and not any(fnmatch(value.name, each) for each in writes):
            read.append(f"{KEY}.{i}: {key}: '{value}' will not be there: no exporter of the stage before writes it")
        return value

    map_paths(recipe, look)
    return read


def _going_on(recipe: Recipe, i: int) -> Recipe:
    """A stage that refines a run begins with the one before; the first stage has none before it."""
    if i > 0 and recipe.start_from is None and getattr(recipe.system.part, "refines", False):
        recipe = replace(recipe, start_from=Path(PREVIOUS))
    if i == 0:
        map_paths(recipe, _refuse_previous)
    return recipe


def _refuse_previous(key: str, value: Any) -> Any:
    if is_previous(value):
        raise UserError(f"{key}: '{value}' is of the stage before, and this is the first one")
    return value

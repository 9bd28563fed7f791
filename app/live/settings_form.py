"""A recipe's settings as fields to fill in, made from the Configs of its parts; what visitors fill in becomes a recipe.

Files are not among them: a visitor names no path of this machine, and a mesh comes by upload (uploads.py).
"""

import dataclasses
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from app.describe import field_docs
from app.live.strangers import plain_value, raw_text
from core.errors import UserError
from core.part import Choice, type_hints
from core.paths import FolderOrName, map_paths
from core.recipe import Recipe
from core.setting_paths import plain
from core.settings import read_settings
from core.stages import KEY, PREVIOUS

LONGEST_SETTING = 500
MOST_STEPS = 100_000


@dataclass(frozen=True)
class Field:
    """One setting of a recipe."""

    group: str
    """The part that it belongs to, by its path: system.geometry; in a recipe of stages, stages.0.system.geometry."""
    name: str
    """Within the part."""
    value: Any
    """As the recipe says it."""
    words: tuple[str, ...]
    """All that it may be, where that is a choice of words."""
    meaning: str

    @property
    def key(self) -> str:
        """Its path in the recipe."""
        return f"{self.group}.{self.name}"


def fields_of(stages: Sequence[Recipe]) -> list[Field]:
    """The settings of all parts of a recipe's method, and how long it trains; of each of its stages."""
    found: list[Field] = []
    for i, recipe in enumerate(stages):
        before = _before(i, stages)
        steps = Field(f"{before}trainer", "max_steps", recipe.trainer.max_steps, (), "Optimiser steps.")
        found += [steps, *_fields(recipe.system.config, f"{before}system", "")]
    return found


def mesh_keys(stages: Sequence[Recipe]) -> list[str]:
    """The settings that take a mesh of the visitor's: to be painted, or to be followed as a sketch."""
    found: list[str] = []
    for i, recipe in enumerate(stages):

        def note(key: str, path: Any, before: str = _before(i, stages)) -> Any:
            is_own = isinstance(path, Path) and path.parts[:1] != (PREVIOUS,)
            if is_own and key.startswith("system.") and key.endswith(".path"):
                found.append(before + key)
            return path

        map_paths(recipe, note)
    return found


def filled_in(stages: Sequence[Recipe], values: Mapping[str, Any], seed: int, mesh: Path | None) -> tuple[Recipe, ...]:
    """A recipe with what a visitor has filled in.

    Args:
        values: by the fields' keys, as browsers send them; keys that are no fields are refused.
        mesh: the visitor's own, for every setting that takes one.

    Raises:
        UserError: a value that the recipe could not have; each fault in a line.
    """
    trees, known = [plain(recipe) for recipe in stages], {field.key: field for field in fields_of(stages)}
    whole = {KEY: {str(i): tree for i, tree in enumerate(trees)}} if len(trees) > 1 else trees[0]
    for key, given in values.items():
        if key not in known:
            raise UserError(f"{key}: no setting that can be filled in")
        put(whole, key, _read(known[key], given))
    for key in mesh_keys(stages) if mesh is not None else []:
        put(whole, key, str(mesh))
    made = tuple(read_settings(Recipe, {**tree, "seed": seed}) for tree in trees)
    for recipe in made:
        if recipe.trainer.max_steps > MOST_STEPS:
            raise UserError(f"trainer.max_steps: at most {MOST_STEPS}, got {recipe.trainer.max_steps}")
    return made


def _before(i: int, stages: Sequence[Recipe]) -> str:
    """What keys of a stage begin with, as on the command line."""
    return f"{KEY}.{i}." if len(stages) > 1 else ""


def shown_value(field: Field) -> bool | float | str:
    """What a field's widget holds: a switch, a number or a text."""
    if isinstance(field.value, bool | int | float | str):
        return field.value
    return json.dumps(field.value)


def _fields(config: Any, group: str, prefix: str) -> Iterator[Field]:
    """The fields of a Config, those of the parts that it holds after its own."""
    hints, docs = type_hints(type(config)), field_docs(type(config))
    parts: dict[str, Any] = {}
    for each in dataclasses.fields(config):
        value, name, annotation = getattr(config, each.name), f"{prefix}{each.name}", hints[each.name]
        if isinstance(value, Choice | dict):
            held = value if isinstance(value, dict) else {"": value}
            choices = {f".{key}".rstrip("."): item for key, item in held.items() if isinstance(item, Choice)}
            parts |= {f"{group}.{name}{key}": choice.config for key, choice in choices.items()}
        elif dataclasses.is_dataclass(value) and not callable(getattr(value, "to_setting", None)):
            yield from _fields(value, group, f"{name}.")
        elif not _takes_path(annotation):
            yield Field(group, name, plain(value), _words(annotation), docs.get(each.name, ""))
    for path, inner in parts.items():
        yield from _fields(inner, path, "")


def _words(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal and all(isinstance(word, str) for word in get_args(annotation)):
        return get_args(annotation)
    return ()


def _takes_path(annotation: Any) -> bool:
    if annotation is Path or annotation == FolderOrName:
        return True
    inner = type_hints(annotation).values() if dataclasses.is_dataclass(annotation) else ()
    return any(_takes_path(each) for each in (*inner, *get_args(annotation)))


def _read(field: Field, given: Any) -> Any:
    """What a widget holds as the recipe says it: words and texts raw, all else as YAML."""
    if isinstance(given, bool):
        return given
    if isinstance(given, int | float):
        if not math.isfinite(given):
            raise UserError(f"{field.key}: expected a number, got {given}")
        return int(given) if isinstance(field.value, int) and given == int(given) else float(given)
    text = raw_text(field.key, given, LONGEST_SETTING)
    if isinstance(field.value, str):
        return text
    return plain_value(field.key, text)


def put(tree: Any, key: str, value: Any) -> None:
    """Say a setting in a recipe's mapping, in which the way to it is there."""
    *way, last = key.split(".")
    for word in way:
        tree = tree[word]
    tree[last] = value

"""The stages of a plan before they are trained: what an earlier one will have made is stood in for.

A stage that refines a run begins with the earlier system as it is before its first step. Where a stage reads a mesh or
a picture of the stage before, it is given a textured ball or a grey picture.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, get_args

import trimesh
from PIL import Image

from app.plan import Plan, Request, make_plan
from app.run_folder import is_exported
from app.stages import stage_names
from core.paths import map_paths
from core.recipe import Recipe
from core.stages import is_previous, with_previous
from exporters.mesh_files import MeshFormat

#: Of the ball, in world units: it lies within the ball that a field fills.
RADIUS = 0.4
#: Height and width of the picture, in pixels.
SIZE = 64


@contextmanager
def rehearsed(plan: Plan) -> Iterator[list[Plan | None]]:
    """A plan for each stage that can be built now; None for one that reads a file which nothing can stand in for.

    A plan without stages is its only one. What stands in for files is gone when the block ends.
    """
    if not plan.stages:
        yield [plan]
        return
    with TemporaryDirectory() as folder:
        plans: list[Plan | None] = []
        for i, recipe in enumerate(plan.stages):
            plans.append(_rehearsed(plan, i, recipe, plans, Path(folder) / str(i)))
        yield plans


def _rehearsed(plan: Plan, i: int, recipe: Recipe, earlier: list[Plan | None], folder: Path) -> Plan | None:
    names = stage_names(plan.stages)
    own = plan.folder and plan.folder / names[i]
    before = plan.folder and plan.folder / names[i - 1]
    if i == 0 or (before and is_exported(before)):
        recipe = with_previous(recipe, before) if i and before else recipe
        return make_plan(Request(recipe, folder=own, out=plan.out, device=plan.device))
    if not _stand_in(recipe, folder):
        return None
    start = earlier[-1] if is_previous(recipe.start_from) else None
    if recipe.start_from is not None and start is None:
        return None
    request = Request(with_previous(replace(recipe, start_from=None), folder), out=plan.out, device=plan.device)
    return replace(make_plan(request), begins_with=start)


def _stand_in(recipe: Recipe, folder: Path) -> bool:
    """Write what a recipe reads of the stage before; whether that could be done for all."""
    folder.mkdir()
    could: list[bool] = []

    def write(key: str, value: Any) -> Any:
        if is_previous(value) and key != "start_from":
            path = folder.joinpath(*value.parts[1:])
            path.parent.mkdir(parents=True, exist_ok=True)
            could.append(_write(path))
        return value

    map_paths(recipe, write)
    return all(could)


def _write(path: Path) -> bool:
    picture = Image.new("RGB", (SIZE, SIZE), (128, 128, 128))
    kind = path.suffix.lower().removeprefix(".")
    if kind in get_args(MeshFormat):
        ball = trimesh.creation.icosphere(subdivisions=2, radius=RADIUS).unwrap(image=picture)
        ball.export(path)
    elif f".{kind}" in Image.registered_extensions():
        picture.save(path)
    return path.is_file()

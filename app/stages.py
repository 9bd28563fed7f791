"""Runs of several stages: an ordinary run for each, in one folder, and the last one's files beside them.

    runs/a-red-mushroom-1a2b3c/
        recipe.yaml     of all stages        stages.json     their folders, in order
        prompt.txt      of the first stage   prompts.json    of each
        1-latent-nerf/  2-latent-nerf-rgb/   3-latent-paint/                 runs
        mesh.glb  report.html  ...           what the last one's exporters have made; the report tells of all

A stage begins when the one before has made its files, so a run goes on in the last folder that is there.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from app.inputs import inputs_missing
from app.run_folder import find_run, write_prompt
from core.errors import UserError
from core.files import read_json, whole_file, write_json, write_whole
from core.recipe import Recipe
from core.stages import dump_stages, is_previous, with_previous
from exporters.phases import RECORD, read_record
from exporters.stages import STAGES, stage_folders, whole_run

#: The prompts of all stages, as they are shown; YAML is no place for raw texts.
PROMPTS = "prompts.json"


def stage_names(recipes: Sequence[Recipe]) -> list[str]:
    """The folders of stages."""
    return [f"{i}-{recipe.system.part.part_name}" for i, recipe in enumerate(recipes, 1)]


def stage_of(folder: Path) -> int:
    """The number of the stage that is trained in a folder, from 0 on."""
    return int(folder.name.partition("-")[0]) - 1


def write_stages(folder: Path, recipes: Sequence[Recipe]) -> None:
    """Note which folders there are to be, in order, and the recipes and prompts of all."""
    write_json(folder / PROMPTS, [recipe.shown_prompt for recipe in recipes])
    write_prompt(folder, recipes[0].shown_prompt)
    write_json(folder / STAGES, stage_names(recipes))
    write_whole(folder / "recipe.yaml", dump_stages(recipes))


def with_prompts_of(folder: Path, recipes: Sequence[Recipe]) -> tuple[Recipe, ...]:
    """The recipes of stages for the prompts that a folder of them was made for.

    Raises:
        UserError: nobody can read which.
    """
    path = folder / PROMPTS
    noted = read_json(path)
    if not isinstance(noted, list) or len(noted) != len(recipes) or not all(isinstance(each, str) for each in noted):
        raise UserError(f"{path}: no list of {len(recipes)} prompts, one for each stage; write them into it again")
    pairs = zip(recipes, noted, strict=True)
    return tuple(one if one.shown_prompt == prompt else replace(one, prompt=prompt) for one, prompt in pairs)


def carry_out_each(folder: Path, recipes: Sequence[Recipe], carry_out: Callable[[int, Recipe, Path], bool]) -> None:
    """Carry out stages in order, from the one that was begun last; one that is not finished ends it.

    Args:
        carry_out: given a stage's number, recipe and folder, trains it there or goes on, and says whether it has come
            to its end.
    """
    folders = stage_folders(folder)
    begun = max((i for i, stage in enumerate(folders) if (stage / "recipe.yaml").is_file()), default=0)
    for i in range(begun, len(recipes)):
        recipe = with_previous(recipes[i], folders[i - 1]) if i else recipes[i]
        if not carry_out(i, recipe, folders[i]):
            return


def publish(stage: Path, files: Sequence[Path]) -> list[Path]:
    """Copy what the last of several stages has made beside them; what they all have measured too.

    Args:
        stage: a run's folder; nothing is copied of one that is not the last of several stages.
    """
    folder = whole_run(stage)
    if folder == stage:
        return list(files)
    folders = stage_folders(folder)
    records = {f"{each.name}: {owner}": kept for each in folders for owner, kept in read_record(each).items()}
    for file in files:
        with whole_file(folder / file.relative_to(stage)) as unfinished:
            shutil.copyfile(file, unfinished)
    write_json(folder / RECORD, records)
    return [folder / file.relative_to(stage) for file in files]


def check_later_inputs(recipes: Sequence[Recipe], folder: Path | None) -> None:
    """Refuse what a later stage reads and is not there: it would be found when the others are trained.

    Args:
        folder: of stages that may have begun; those read copies of their own.
    """
    faults: list[str] = []
    for i, (name, recipe) in enumerate(zip(stage_names(recipes), recipes, strict=True)):
        if i > 0 and not (folder and (folder / name / "recipe.yaml").is_file()):
            faults += [f"stages.{i}: {fault}" for fault in [*inputs_missing(recipe), *_start_missing(recipe)]]
    if faults:
        raise UserError("\n".join(faults))


def _start_missing(recipe: Recipe) -> list[str]:
    """A fault where the run that a stage names to begin with is none."""
    if recipe.start_from is None or is_previous(recipe.start_from):
        return []
    try:
        find_run(recipe.start_from)
    except UserError as error:
        return [f"start_from: {error}"]
    return []

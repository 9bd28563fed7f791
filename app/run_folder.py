"""Run folders: how they are named, that nothing is overwritten, that one process at a time works in one.

runs/a-red-mushroom-1a2b3c/
    recipe.yaml     with every default spelt out           prompt.txt     the raw text
    inputs/         copies of what it reads (inputs.py)    checkpoints/   previews/   metrics.csv
    ...             what the exporters make
"""

import os
import re
import shutil
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from core.errors import MachineError, UserError, nearest_word
from core.files import write_whole
from core.paths import map_paths
from core.recipe import Recipe, dump_recipe
from exporters.stages import STAGES
from systems.checkpoint_files import checkpoint_of, checkpoints_of, newest_whole, step_of

LONGEST_SLUG = 48
#: What is no part of a run: its lock; what a job is, and the words of its worker.
KEPT = (".lock", "job.json", "log.txt")
EXPORTED = ".exported"


@dataclass(frozen=True)
class TrainedRun:
    """A run that is there, and how far it came."""

    folder: Path
    checkpoint: Path

    @property
    def step(self) -> int:
        """Steps that are done."""
        return step_of(self.checkpoint)


def run_name(recipe: Recipe, *later: Recipe) -> str:
    """`<slug of the prompt>-<6 hex of prompt, recipe and seed>`: the same command has the same name.

    Args:
        later: of further stages.
    """
    text = "\0".join([recipe.shown_prompt, *map(dump_recipe, (recipe, *later))])  # the seed is part of the recipe
    return f"{slug(recipe.shown_prompt) or recipe.system.part.part_name}-{sha256(text.encode()).hexdigest()[:6]}"


def slug(text: str) -> str:
    """Letters a-z and digits of a text, words joined by dashes; empty where it has none."""
    ascii_text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", ascii_text.replace("'", ""))
    kept = ""
    for word in words:
        longer = f"{kept}-{word}" if kept else word[:LONGEST_SLUG]
        if len(longer) > LONGEST_SLUG:
            break
        kept = longer
    return kept


def make_run_folder(out: Path, *recipes: Recipe) -> Path:
    """Make the empty folder of a new run; where the name is taken, `-2`, `-3` ... is added.

    Raises:
        UserError: it cannot be made.
    """
    name = run_name(*recipes)
    number = 1
    while True:
        folder = out / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if not folder.exists():
                raise UserError(f"{out}: is a file; runs go into a folder, choose another one with --out") from None
            number += 1
        except OSError as error:
            raise MachineError(
                f"{folder}: cannot be made: {error.strerror}. Choose another folder with --out"
            ) from error
        else:
            return folder


def remove_new_run(folder: Path, with_parent: bool) -> None:
    """Remove the folder of a run that could not begin; one that has a checkpoint is worth keeping.

    Args:
        with_parent: the folder around it was made for it; where no other run has come in since, it goes too.
    """
    if checkpoints_of(folder):
        return
    shutil.rmtree(folder, ignore_errors=True)
    if with_parent and not any(folder.parent.iterdir()):
        folder.parent.rmdir()


def begin_anew(folder: Path) -> None:
    """Empty the locked folder of a run that has no checkpoint, but for the lock and what jobs say of it."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in KEPT:
            path.unlink()


def write_prompt(folder: Path, prompt: str) -> None:
    """Write the raw text that a run is made for."""
    write_whole(folder / "prompt.txt", prompt)


def write_recipe(folder: Path, recipe: Recipe) -> None:
    """Write the recipe of a run; one that was there and differs is kept as recipe-1.yaml, recipe-2.yaml ...

    Paths within the folder are written relative to it, so that the run can be moved. recipe.yaml is there and whole at
    any moment: without it, a run that is killed here could not go on.
    """
    here = Path(os.path.abspath(folder))

    def shortened(key: str, value: Any) -> Any:
        return value.relative_to(here) if isinstance(value, Path) and value.is_relative_to(here) else value

    path, text = folder / "recipe.yaml", dump_recipe(map_paths(recipe, shortened))
    before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else text
    if before != text:
        number = 1
        while (folder / f"recipe-{number}.yaml").exists():
            number += 1
        write_whole(folder / f"recipe-{number}.yaml", before)
    write_whole(path, text)


def find_run(path: Path) -> TrainedRun:
    """The run behind a path to its folder, or to a checkpoint in it.

    Raises:
        UserError: there is none, or it has no checkpoint.
    """
    if not path.exists():
        raise UserError(f"{path}: no such run. {_other_runs(path)}")
    checkpoint = checkpoint_of(path)
    if step_of(checkpoint) >= 0:
        folder = checkpoint.parent.parent
    else:
        folder, checkpoint = path, newest_whole(path)
    if not (folder / "recipe.yaml").is_file():
        raise UserError(f"{path}: no run: {folder} holds no recipe.yaml. Give a run's folder, or a checkpoint in one")
    if checkpoint is None:
        raise UserError(f"{path}: this run has no checkpoint; train it again from the beginning")
    return TrainedRun(folder, checkpoint)


def latest_stages(out: Path, recipes: Sequence[Recipe]) -> Path | None:
    """The newest folder of the same command of several stages, or None."""
    name = re.compile(re.escape(run_name(*recipes)) + r"(-\d+)?")
    found = [path for path in out.glob(f"*/{STAGES}") if name.fullmatch(path.parent.name)]
    return max(found, key=lambda path: path.stat().st_mtime_ns).parent if found else None


def latest_run(out: Path, recipe: Recipe) -> TrainedRun | None:
    """The newest run of the same command that has a checkpoint, or None."""
    name = re.compile(re.escape(run_name(recipe)) + r"(-\d+)?")
    runs = [folder for folder in out.glob("*") if name.fullmatch(folder.name)]
    newest = [(found[0].stat().st_mtime_ns, run) for run in runs if (found := checkpoints_of(run))]
    return find_run(max(newest)[1]) if newest else None


def mark_exported(folder: Path, is_exported: bool) -> None:
    """Remember that all that a run was to become has been written; or forget it."""
    mark = folder / EXPORTED
    write_whole(mark, "") if is_exported else mark.unlink(missing_ok=True)


def is_exported(folder: Path) -> bool:
    """Whether there is nothing left to do in a run that is trained."""
    return (folder / EXPORTED).exists()


def read_prompt(folder: Path) -> str:
    """The raw prompt of a run, empty where it had none."""
    path = folder / "prompt.txt"
    try:
        return path.read_bytes().decode() if path.is_file() else ""
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text in UTF-8; write the run's prompt into it again") from error


def _other_runs(path: Path) -> str:
    siblings = [folder.name for folder in path.parent.glob("*") if folder.is_dir()]
    near = nearest_word(path.name, siblings)
    if near is not None:
        return f"Did you mean '{near}'?"
    return f"{path.parent}/ holds none of a similar name" if siblings else f"There are no runs in {path.parent}/"

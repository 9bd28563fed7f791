"""Run folders: how they are named, that nothing is overwritten, that one process at a time works in one.

runs/a-red-mushroom-1a2b3c/
    recipe.yaml     resolved, every default spelt out      prompt.txt     the raw text
    checkpoints/    previews/    metrics.csv               and what the exporters make
"""

import fcntl
import os
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from core.errors import UserError
from core.files import whole_file
from core.recipe import Recipe, dump_recipe

LONGEST_SLUG = 48


def run_name(recipe: Recipe) -> str:
    """`<slug of the prompt>-<6 hex of prompt, recipe and seed>`: the same command has the same name."""
    text = f"{recipe.prompt}\0{dump_recipe(recipe)}"  # the seed is part of the recipe
    return f"{slug(recipe.prompt) or recipe.system.part.part_name}-{sha256(text.encode()).hexdigest()[:6]}"


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


def new_run_folder(out: Path, recipe: Recipe) -> Path:
    """Make the folder of a new run and write its recipe and prompt; where the name is taken, `-2`, `-3` ... is added.

    Raises:
        UserError: the folder cannot be made.
    """
    name = run_name(recipe)
    number = 1
    while True:
        folder = out / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            if not folder.exists():
                raise UserError(f"{out}: is a file; runs go into a folder, choose another one with --out") from None
            number += 1
        except OSError as error:
            raise UserError(f"{folder}: cannot be made: {error.strerror}. Choose another folder with --out") from error
    _write(folder / "prompt.txt", recipe.prompt)
    _write(folder / "recipe.yaml", dump_recipe(recipe))
    return folder


def keep_recipe(folder: Path, recipe: Recipe) -> None:
    """Write the recipe that a run goes on with; one that differs from it is kept as recipe-1.yaml, recipe-2.yaml ...

    recipe.yaml is there and whole at any moment: without it, a run that is killed here could not go on.
    """
    path, text = folder / "recipe.yaml", dump_recipe(recipe)
    before = path.read_text(encoding="utf-8") if path.exists() else text
    if before != text:
        number = 1
        while (folder / f"recipe-{number}.yaml").exists():
            number += 1
        _write(folder / f"recipe-{number}.yaml", before)
    _write(path, text)


def latest_run(out: Path, recipe: Recipe) -> Path | None:
    """The newest run of the same command that has a checkpoint, or None."""
    name = re.compile(re.escape(run_name(recipe)) + r"(-\d+)?")
    runs = [folder for folder in out.glob("*") if name.fullmatch(folder.name)]
    with_checkpoint = [(latest_checkpoint(run), run) for run in runs]
    dated = [(checkpoint.stat().st_mtime_ns, run) for checkpoint, run in with_checkpoint if checkpoint is not None]
    return max(dated)[1] if dated else None


def latest_checkpoint(folder: Path) -> Path | None:
    """The newest checkpoint of a run, or None."""
    checkpoints = list((folder / "checkpoints").glob("*.ckpt"))
    return max(checkpoints, key=lambda path: path.stat().st_mtime_ns) if checkpoints else None


def read_prompt(folder: Path) -> str:
    """The raw prompt of a run, empty where it had none."""
    path = folder / "prompt.txt"
    return path.read_bytes().decode() if path.exists() else ""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run folder; the lock ends with the process, however it ends.

    Raises:
        UserError: another process holds it.
    """
    with (folder / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise UserError(f"{folder}: another process works here (process {lock.read() or 'unknown'})") from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _write(path: Path, text: str) -> None:
    with whole_file(path) as unfinished:
        unfinished.write_bytes(text.encode())

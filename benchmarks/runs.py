"""The benchmark's runs: what is trained, in a child process each, and what is kept of it.

    <work folder>/a-red-mushroom-1a2b3c-4d5e6f/     <prompt>-<recipe>-<weights>: another recipe is another folder
        run/        the run                             log.txt         what it wrote meanwhile
        trained.json    seconds and commit; written when training has ended well
        measured.json, views.png                        the figures, from which a killed benchmark goes on

A run that was interrupted begins anew, since its seconds would mean nothing.
"""

import json
import logging
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Literal, Self

import torch

from app.api import Run, train
from app.plan import Request, make_plan
from app.progress import Progress
from app.run_folder import run_name
from benchmarks.canonical import write_pictures
from benchmarks.machine import commit
from benchmarks.toy_prompts import ToyPrompt
from core.errors import UserError
from core.files import write_json
from core.recipe import Recipe
from guidance.model_source import find_model
from systems.base import LightningSystem

PICTURE_SIZE = 128
Guide = Literal["prompt", "pictures"]
GUIDES: tuple[Guide, Guide] = ("prompt", "pictures")


class RunFailedError(Exception):
    """A child process ended badly; the text says where its log is."""


@dataclass(frozen=True)
class BenchmarkRun:
    """One training: its command and the folder that is its own."""

    prompt: ToyPrompt
    guide: Guide
    """The text; or pictures of the canonical object, which show the best that the same recipe can reach."""
    config: Path
    overrides: tuple[str, ...]
    folder: Path
    start: Path | None = None
    """A finished run that it goes on from."""

    @property
    def name(self) -> str:
        """For messages."""
        return self.prompt.text if self.guide == "prompt" else f"{self.prompt.text}, from pictures"


def plan_run(prompt: ToyPrompt, guide: Guide, config: Path, overrides: Sequence[str], work: Path) -> BenchmarkRun:
    """Choose a run's recipe and folder; the pictures of a run that is guided by them are drawn here.

    Raises:
        UserError: the recipe is faulty.
    """
    settings = [*overrides, "exporters=[]"]
    recipe = _recipe(config, prompt, settings)
    parts = ("vae", "unet", "transformer", "text_encoder")
    if guide == "pictures":
        settings = _shown_pictures(recipe, prompt, overrides, work)
        recipe, parts = _recipe(config, prompt, settings), ("vae",)
    weights = weights_mark(recipe.system.config.guidance.config.model, parts)
    folder = work / f"{run_name(recipe)}-{weights}"
    return BenchmarkRun(prompt, guide, config.resolve(), tuple(settings), folder)


def _recipe(config: Path, prompt: ToyPrompt, overrides: Sequence[str]) -> Recipe:
    return make_plan(Request(recipe=config, prompt=prompt.text, overrides=tuple(overrides), device="cpu")).recipe


def _shown_pictures(recipe: Recipe, prompt: ToyPrompt, overrides: Sequence[str], work: Path) -> list[str]:
    """Overrides that leave field, renderer and length as they are and put pictures in the place of the score."""
    subject = prompt.subject
    folder = write_pictures(work / "pictures" / f"{subject.main}-{subject.kind}", subject, PICTURE_SIZE)
    replaced = ("system.guidance.", "system.views.")
    kept = [setting for setting in overrides if not setting.startswith(replaced)]
    return [
        *kept,
        "exporters=[]",
        "trainer.preview_every=0",
        "system.guidance.type=target-image",
        f"system.guidance.folder={folder.resolve()}",
        f"system.guidance.model={recipe.system.config.guidance.config.model}",
        "system.latent_size=null",  # pictures are of one size
        "system.views={type: posed-pictures}",
    ]


def weights_mark(model: str, parts: Sequence[str]) -> str:
    """Six digits that change with a model's weights; of its name where it lies on no disk of ours."""
    digest = sha256(model.encode())
    folder = find_model(model).folder
    for file in sorted(folder.glob("*/*.safetensors")) if folder else []:
        if file.parent.name.startswith(tuple(parts)):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:6]


class Trainings:
    """Trains runs in child processes, several at once if asked; leaving it takes down those that still run."""

    def __init__(self, device: str, n_threads: int) -> None:
        self.device = device
        self.n_threads = n_threads
        self._children: set[BaseProcess] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def train(self, run: BenchmarkRun) -> float:
        """Train a run unless that has been done, and give its seconds from the command to its end.

        Raises:
            RunFailedError: it ended badly, or all were stopped.
        """
        note = run.folder / "trained.json"
        if note.is_file():
            return json.loads(note.read_text())["seconds"]
        shutil.rmtree(run.folder, ignore_errors=True)
        run.folder.mkdir(parents=True)
        start = time.monotonic()
        status = self._wait_for(run)
        seconds = time.monotonic() - start
        if status != 0:
            said = (run.folder / "log.txt").read_text(errors="replace").strip().splitlines()
            raise RunFailedError(
                f"{run.name}: {said[-1] if said else f'exit code {status}'} ({run.folder / 'log.txt'})"
            )
        write_json(note, {"seconds": round(seconds, 1), "commit": commit()})
        return round(seconds, 1)

    def stop(self) -> None:
        """Ask all children to end, and start no more."""
        with self._lock:
            self._stopped = True
            for child in self._children:
                child.terminate()

    def _wait_for(self, run: BenchmarkRun) -> int | None:
        child = get_context("spawn").Process(target=train_logged, args=(run, self.device, self.n_threads))
        with self._lock:
            if self._stopped:
                raise RunFailedError(f"{run.name}: stopped")
            child.start()
            self._children.add(child)
        child.join()
        with self._lock:
            self._children.discard(child)
        return child.exitcode


def train_logged(run: BenchmarkRun, device: str, n_threads: int) -> None:
    """Train a run in this process, which is its own: its words go to the run's log, its end to the exit code."""
    os.environ.update(OMP_NUM_THREADS=str(n_threads), MKL_NUM_THREADS=str(n_threads))  # for libraries yet to be loaded
    torch.set_num_threads(n_threads)
    log = os.open(run.folder / "log.txt", os.O_WRONLY | os.O_CREAT)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        train(
            run.config,
            run.prompt.text,
            overrides=run.overrides,
            out=run.folder / "run",
            start_from=run.start,
            device=device,
            on_event=Progress(),
        )
    except UserError as error:
        sys.exit(f"error: {error}")


def load_trained(run: BenchmarkRun, device: str) -> LightningSystem:
    """The system of a trained run, ready to render.

    Raises:
        UserError: it has no checkpoint.
    """
    folders = [folder for folder in (run.folder / "run").glob("*") if folder.is_dir()]
    if len(folders) != 1:
        raise UserError(f"{run.folder / 'run'}: expected one run, found {len(folders)}")
    return Run.load(folders[0], device=device).system

"""Carries out one job after another in one process; the engines differ in how tasks and records travel."""

import gc
import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from app.api import carry_out
from app.events import Event, Exported, Started, Stepped, Trained
from app.jobs.folder import LOG, THUMBNAIL, Record, Status, Task, begin, finish
from app.lock import refuse_links
from app.machine import forget_peak_memory, peak_memory_gib
from app.parts import unpacked_recipe
from app.plan import Request, make_plan
from app.process import set_up_messages
from app.run import Run
from app.stages import stage_of
from app.stopping import Stop
from core.errors import DivergedError, UserError
from core.failures import told
from core.files import without_following
from core.memory import is_out_of_memory
from exporters.phases import read_record
from guidance.latent_diffusion import LatentDiffusion
from guidance.model_settings import models_kept
from systems.contact_sheet import save_png

Kept = dict[str, LatentDiffusion]
#: Told how many steps of how many are done.
Told = Callable[[int, int], None]
#: Seconds between two words on how far a job has come.
TELL_EVERY_S = 0.5
THUMBNAIL_SIZE = 128


class Timing:
    """A listener that notes when a job's phases begin, and tells how far it has come."""

    def __init__(self, tell: Told, steps: Sequence[int]) -> None:
        """
        Args:
            steps: how many each stage has.
        """
        self.tell, self.steps = tell, steps
        self.began = self.started = self.trained = time.monotonic()
        self.loss: float | None = None
        self._told = 0.0
        self._stage: int | None = None
        self._exports = self._exports_between = 0.0

    def __call__(self, event: Event) -> None:
        """What the training tells: each stage's first and last step count, and now and then one between."""
        now = time.monotonic()
        if isinstance(event, Started):
            self.started = now if self._stage is None else self.started
            self._stage = stage_of(event.folder) if len(self.steps) > 1 else 0
            self._tell(event.step)
        elif isinstance(event, Stepped):
            self.loss = event.loss
            if now - self._told > TELL_EVERY_S:
                self._told = now
                self._tell(event.step)
        elif isinstance(event, Trained):
            self.trained, self._exports_between = now, self._exports
            self._tell(event.step)
        elif isinstance(event, Exported):
            self._exports += event.seconds
            print(f"{event.exporter}: {', '.join(path.name for path in event.files)} ({event.seconds:.1f} s)")

    def seconds(self, cold: float) -> dict[str, float]:
        """Of the phases.

        Args:
            cold: seconds that the process took until it was ready for its first job.
        """
        now = time.monotonic()
        parts = {
            "start": cold + self.started - self.began,
            "training": self.trained - self.started - self._exports_between,
            "export": now - self.trained + self._exports_between,
            "whole": cold + now - self.began,
            "cold": cold,
        }
        return {name: round(max(value, 0.0), 3) for name, value in parts.items()}

    def _tell(self, step: int) -> None:
        self.tell(sum(self.steps[: self._stage]) + step, sum(self.steps))


def carry_out_task(task: Task, stop: Stop, tell: Told, kept: Kept, cold: float = 0.0) -> Record | None:
    """Make one object, and note in its folder how that ended; None where it was stopped on the way.

    A worker's end, and whatever it cannot go on after, is left to who has given it the task: nothing is noted then.

    Args:
        kept: what this worker keeps of the jobs before: the diffusion model and what it has computed.
        cold: seconds that the process took until it was ready, where this is its first task.
    """
    timing = Timing(tell, [recipe["trainer"]["max_steps"] for recipe, _ in task.recipes])
    tell(0, 1)
    forget_peak_memory()
    host: dict[str, Any] = {"host": socket.gethostname()}
    try:
        begin(task)
        with _logged(task.folder / LOG), models_kept(kept):
            run = _made(task, stop, timing)
        if not run.is_finished:
            return None
        figures = _figures(run, timing.loss)
        seconds, peak = timing.seconds(cold), peak_memory_gib()
        record = Record.of(task, "done", seconds=seconds, peak_memory_gib=peak, figures=figures, **host)
    except Exception as error:
        status, line = what_went_wrong(error)
        seconds, peak = timing.seconds(cold), peak_memory_gib()
        record = Record.of(task, status, line, seconds=seconds, peak_memory_gib=peak, **host)
    gc.collect()
    return _noted(task, record) if record.status in ("done", "failed") else record


def _noted(task: Task, record: Record) -> Record:
    """Note in a job's folder how it ended; where nothing can be written there, it has failed."""
    try:
        finish(task.folder, record)
    except OSError as error:
        status, line = what_went_wrong(error)
        return replace(record, status=status, error=line)
    return record


def _made(task: Task, stop: Stop, timing: Timing) -> Run:
    try:
        recipes = tuple(unpacked_recipe(each) for each in task.recipes)
        out = task.folder.parent
        request = Request(recipe=recipes, out=out, folder=task.folder, device=task.device, allow_changed=True)
        run = carry_out(make_plan(request), on_event=timing, stop=stop)
        if run.is_finished:
            _save_thumbnail(run)
    except Exception as error:
        if not isinstance(error, UserError):
            traceback.print_exc()
        raise
    return run


def what_went_wrong(error: Exception) -> tuple[Status, str]:
    """How an attempt ended by an exception, and one line about it."""
    line = "; ".join(str(told(error)).splitlines())
    if isinstance(error, DivergedError):
        return "diverged", line
    is_memory = is_out_of_memory(error) or (error.__cause__ is not None and is_out_of_memory(error.__cause__))
    return "out of memory" if is_memory else "failed", line


def _figures(run: Run, loss: float | None) -> dict[str, Any]:
    """Single numbers and words that exporters have left but for the names of files, and the last loss."""
    found: dict[str, Any] = {"steps": run.step}
    if loss is not None:
        found["loss"] = float(f"{loss:.4g}")
    for owner in read_record(run.folder).values():
        own = {name: value for name, value in owner["figures"].items() if isinstance(value, int | float | str)}
        found |= {name: value for name, value in own.items() if name != "file"}
    return found


def _save_thumbnail(run: Run) -> None:
    picture = run.decode(run.render(run.cameras(1)).latents)[0]
    step = max(1, picture.shape[0] // THUMBNAIL_SIZE)
    pixels = (picture[::step, ::step].clamp(0, 1) * 255).round().to(torch.uint8)
    save_png(run.folder / THUMBNAIL, pixels.cpu().numpy())


@contextmanager
def _logged(path: Path) -> Iterator[None]:
    """Let this process's words go to a file, those of its libraries in C too; not through a link."""
    refuse_links(path.parent)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(descriptor) for descriptor in (1, 2)]
    log = without_following(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.close(log)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, before in zip((1, 2), kept, strict=True):
            os.dup2(before, descriptor)
            os.close(before)


def quiet() -> None:
    """Say what a command says, and no more."""
    set_up_messages()
    tqdm.set_lock(threading.RLock())  # its own lock would be a semaphore of the system's that outlives a killed worker

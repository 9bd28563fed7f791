"""What happens beside the training: previews, checkpoints, and the log of numbers. None of it draws from its chance."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning import Callback, LightningModule, Trainer
from lightning.fabric.loggers.logger import Logger
from numpy.typing import NDArray

from core.errors import DivergedError
from core.files import whole_file
from core.kinds import System
from systems.contact_sheet import contact_sheet, save_png
from systems.loggers import open_loggers

CHECKPOINT = Path("checkpoints/last.ckpt")
#: Is given a contact sheet: its step, its file, and rows x columns x RGB.
Show = Callable[[int, Path, NDArray[np.uint8]], None]


def save_checkpoint(trainer: Trainer, run_folder: Path) -> Path:
    """Write the state of a training to the run's folder; the former checkpoint stays until this one is whole."""
    path = run_folder / CHECKPOINT
    with whole_file(path) as unfinished:
        trainer.save_checkpoint(unfinished)
    return path


class Checkpoints(Callback):
    """A checkpoint every so many steps and at the end; never of a training whose loss is no number any more."""

    def __init__(self, run_folder: Path, every: int) -> None:
        self.run_folder, self.every = run_folder, every
        self._loss: torch.Tensor | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Save when the time has come.

        Raises:
            DivergedError: the loss is no longer a number; the former checkpoint stays.
        """
        self._loss = outputs["loss"]
        if is_due(trainer.global_step, self.every):
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what was reached.

        Raises:
            DivergedError: the loss is no longer a number; the former checkpoint stays.
        """
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if self._loss is not None:
            _require_a_number(float(self._loss), trainer.global_step)
        save_checkpoint(trainer, self.run_folder)


class Previews(Callback):
    """A contact sheet every so many steps: previews/step-000250.png."""

    def __init__(self, run_folder: Path, every: int, n_views: int, show: Show | None = None) -> None:
        """
        Args:
            show: is given each sheet with its step and file.
        """
        self.run_folder, self.every, self.n_views, self.show = run_folder, every, n_views, show

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Draw when the time has come."""
        step = trainer.global_step
        if is_due(step, self.every):
            assert isinstance(pl_module, System)
            sheet = contact_sheet(pl_module, self.n_views)
            path = save_png(self.run_folder / "previews" / f"step-{step:06d}.png", sheet)
            if self.show is not None:
                self.show(step, path, sheet)


class MetricsLog(Callback):
    """Gives the numbers of every n-th step to the loggers, and watches that the loss stays a number.

    Beside the numbers of the step there are `seconds` since this process began to train, and `steps_per_second`.
    """

    def __init__(self, run_folder: Path, names: Sequence[str] = ("csv",), every: int = 10) -> None:
        """
        Args:
            names: of the loggers, as `trainer.logger` of a recipe has them.
        """
        self.run_folder, self.names, self.every = run_folder, names, every
        self.loggers: Sequence[Logger] = ()
        self._began, self._first_step = 0.0, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._began, self._first_step = time.monotonic(), trainer.global_step
        self.loggers = open_loggers(self.names, self.run_folder, trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Log when the time has come, and after the first step.

        Raises:
            DivergedError: the loss is no longer a number.
        """
        step = trainer.global_step
        if not (is_due(step, self.every) or step == 1):
            return
        numbers = {name: float(value) for name, value in outputs["numbers"].items()}
        _require_a_number(numbers["loss"], step)
        seconds = time.monotonic() - self._began
        speed = (step - self._first_step) / max(seconds, 1e-9)
        row = {"seconds": round(seconds, 3), "steps_per_second": round(speed, 3), **numbers}
        for logger in self.loggers:
            logger.log_metrics({name: float(f"{value:.6g}") for name, value in row.items()}, step)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write what the loggers still hold, however the training ended."""
        for logger in self.loggers:
            logger.finalize("success")
        self.loggers = ()


def _require_a_number(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise DivergedError(
            f"step {step}: the loss is {loss}. Lower system.guidance.guidance_scale or the learning rates, or use "
            "trainer.precision=32-true"
        )


def is_due(step: int, every: int) -> bool:
    """Whether something that happens every so many steps happens after this one; never, where `every` is 0."""
    return every > 0 and step > 0 and step % every == 0

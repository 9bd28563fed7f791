"""What happens beside the training: previews, checkpoints, and the log of numbers. None of it draws from its chance."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from core.errors import UserError
from core.files import whole_file
from core.kinds import System
from systems.contact_sheet import contact_sheet, save_png

CHECKPOINT = Path("checkpoints/last.ckpt")


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
            UserError: the loss is no longer a number; the former checkpoint stays.
        """
        self._loss = outputs["loss"]
        if is_due(trainer.global_step, self.every):
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what was reached.

        Raises:
            UserError: likewise.
        """
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if self._loss is not None:
            _require_a_number(float(self._loss), trainer.global_step)
        save_checkpoint(trainer, self.run_folder)


class Previews(Callback):
    """A contact sheet every so many steps: previews/step-000250.png."""

    def __init__(self, run_folder: Path, every: int, n_views: int = 4) -> None:
        self.run_folder, self.every, self.n_views = run_folder, every, n_views

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Draw when the time has come."""
        if is_due(trainer.global_step, self.every):
            assert isinstance(pl_module, System)
            sheet = contact_sheet(pl_module, self.n_views)
            save_png(self.run_folder / "previews" / f"step-{trainer.global_step:06d}.png", sheet)


class MetricsLog(Callback):
    """Appends the numbers of every n-th step to metrics.csv and watches that the loss stays a number.

    A column's name never changes once the file has begun; resuming appends to the rows up to the checkpoint's step.
    """

    def __init__(self, run_folder: Path, every: int = 10) -> None:
        self.path, self.every = run_folder / "metrics.csv", every
        self._began, self._first_step = 0.0, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock, and forget what a killed process wrote beyond its last checkpoint: it is done again."""
        self._began, self._first_step = time.monotonic(), trainer.global_step
        if self.path.exists():
            self._keep_rows(trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Write one line.

        Raises:
            UserError: the loss is no longer a number.
        """
        step = trainer.global_step
        if not (is_due(step, self.every) or step == 1):
            return
        numbers = {name: float(value) for name, value in outputs["numbers"].items()}
        _require_a_number(numbers["loss"], step)
        seconds = time.monotonic() - self._began
        speed = (step - self._first_step) / max(seconds, 1e-9)
        self._append({"step": step, "seconds": round(seconds, 3), "steps_per_second": round(speed, 3), **numbers})

    def _keep_rows(self, last_step: int) -> None:
        names, *rows = self.path.read_text(encoding="utf-8").splitlines() or [""]
        kept = [row for row in rows if row.count(",") == names.count(",") and float(row.split(",")[0]) <= last_step]
        if kept != rows:
            with whole_file(self.path) as unfinished:
                unfinished.write_text("\n".join([names, *kept, ""]), encoding="utf-8")

    def _append(self, row: dict[str, int | float]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not self.path.exists()
        with self.path.open("a", encoding="utf-8") as file:
            if is_new:
                file.write(",".join(row) + "\n")
            file.write(",".join(f"{value:.6g}" for value in row.values()) + "\n")


def _require_a_number(loss: float, step: int) -> None:
    if not math.isfinite(loss):
        raise UserError(
            f"step {step}: the loss is {loss}. Lower system.guidance.guidance_scale or the learning rates, or use "
            "trainer.precision=32-true",
            exit_code=1,
        )


def is_due(step: int, every: int) -> bool:
    """Whether something that happens every so many steps happens after this one; never, where `every` is 0."""
    return every > 0 and step > 0 and step % every == 0

"""What happens beside the training: previews and the log of numbers. It neither draws from its chance nor stops it."""

import logging
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

from core.kinds import System
from systems.contact_sheet import contact_sheet, save_png
from systems.loggers import log_picture, open_loggers

log = logging.getLogger(__name__)

#: Is given a contact sheet: its step, its file, and rows x columns x RGB.
Show = Callable[[int, Path, NDArray[np.uint8]], None]


class Previews(Callback):
    """A contact sheet every so many steps: previews/step-000250.png."""

    def __init__(self, run_folder: Path, every: int, n_views: int, show: Show | None = None) -> None:
        """
        Args:
            show: is given each sheet with its step and file.
        """
        self.run_folder, self.every, self.n_views, self.show = run_folder, every, n_views, show

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Draw when the time has come; not where the training is about to end, and to be saved."""
        step = trainer.global_step
        if trainer.should_stop or not is_due(step, self.every):
            return
        assert isinstance(pl_module, System)
        sheet = contact_sheet(pl_module, self.n_views)
        try:
            path = save_png(self.run_folder / "previews" / f"step-{step:06d}.png", sheet)
        except OSError as error:
            log.warning("the preview of step %d cannot be written: %s", step, error)
            return
        if self.show is not None:
            self.show(step, path, sheet)


class MetricsLog(Callback):
    """Gives the numbers of every n-th step to the loggers; those that fail are named once, and asked again.

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
        self._failed: set[str] = set()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._began, self._first_step = time.monotonic(), trainer.global_step
        self.loggers = open_loggers(self.names, self.run_folder, trainer.global_step)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Log when the time has come, and after the first step; not the numbers of a step that was skipped."""
        step = trainer.global_step
        if not (is_due(step, self.every) or step == 1):
            return
        own = [torch.as_tensor(number, device=pl_module.device).reshape(()) for number in outputs["numbers"].values()]
        mean = trainer.strategy.reduce(torch.stack(own))  # over the ranks
        numbers = dict(zip(outputs["numbers"], mean.tolist(), strict=True))
        if not math.isfinite(numbers["loss"]):
            return
        seconds = time.monotonic() - self._began
        speed = (step - self._first_step) / max(seconds, 1e-9)
        row = {"seconds": round(seconds, 3), "steps_per_second": round(speed, 3), **numbers}
        short = {name: float(f"{value:.6g}") for name, value in row.items()}
        self._tell(lambda logger: logger.log_metrics(short, step))

    def show(self, step: int, picture: NDArray[np.uint8]) -> None:
        """Give a preview, rows x columns x RGB, to those loggers that show pictures."""
        self._tell(lambda logger: log_picture(logger, step, picture))

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write what the loggers still hold."""
        self._close("success")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write it also where the training has failed: Lightning tears nothing down then."""
        self._close("failed")

    def _close(self, status: str) -> None:
        self._tell(lambda logger: logger.finalize(status))
        self.loggers = ()

    def _tell(self, tell: Callable[[Logger], None]) -> None:
        for name, logger in zip(self.names, self.loggers, strict=False):
            try:
                tell(logger)
            except Exception as error:  # others' code, its files and servers: no reason to end a training
                if name not in self._failed:
                    log.warning("logger %s fails, the training goes on without it: %s", name, error)
                self._failed.add(name)


def is_due(step: int, every: int) -> bool:
    """Whether something that happens every so many steps happens after this one; never, where `every` is 0."""
    return every > 0 and step > 0 and step % every == 0

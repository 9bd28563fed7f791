"""When a training is saved, so that nothing of it is lost: a callback; how, says systems/checkpoint_files.py."""

import logging
import os
import shutil
import time
import weakref
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from core.errors import MachineError, UserError
from systems.callbacks import is_due
from systems.checkpoint_files import checkpoint_of, checkpoint_path, checkpoints_of

log = logging.getLogger(__name__)

#: Checkpoints that stay: should the newest turn out broken, there is the one before.
N_KEPT = 2
#: Key of the number of CPU threads in a checkpoint.
THREADS = "n_threads"


class Checkpoints(Callback):
    """Saves before the first step, every so many steps or minutes, when asked to, at the end, and when a step fails."""

    def __init__(self, run_folder: Path, every: int, minutes: float = 0.0) -> None:
        """
        Args:
            every: so many steps; 0 for no such ones.
            minutes: between two of them; 0 for no such ones.
        """
        self.run_folder, self.every, self.minutes = run_folder.resolve(), every, minutes
        self.can_save = False
        """Whether the state between two steps is at hand: not while the optimiser, or a save, is at work."""
        self.is_saving = False
        self._asked = False
        self._kept: list[Path] = []
        self._kept_buffers: frozenset[str] = frozenset()
        self._buffers: dict[str, Tensor] = {}
        self._saved_at = 0.0
        self._folder_id = (0, 0)

    def ask(self) -> None:
        """Save after the step that is under way; a signal handler may ask."""
        self._asked = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save a new training before it costs anything: a folder that cannot be written to shows now."""
        self._folder_id = _identity(self.run_folder)
        held = os.open(self.run_folder, os.O_RDONLY)  # as long as it is open, no other folder gets its number
        weakref.finalize(self, os.close, held)
        self._saved_at = time.monotonic()
        self._kept_buffers = frozenset(pl_module.state_dict())
        if trainer.ckpt_path is None:
            self._save(trainer)
        else:
            self._kept = [checkpoint_of(Path(trainer.ckpt_path))]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Remember what a step changes before its optimiser does, of what a checkpoint keeps: the occupancy grid."""
        buffers = pl_module.named_buffers()
        self._buffers = {name: buffer.clone() for name, buffer in buffers if name in self._kept_buffers}
        self.can_save = True

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save nothing until the step has ended: parameters are updated one by one."""
        self.can_save = False

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Save when the time has come.

        Raises:
            MachineError: the run's folder has been removed, or is full.
            DivergedError: the weights are not finite.
        """
        self._buffers, self.can_save = {}, True
        if _identity(self.run_folder) != self._folder_id:
            raise MachineError(f"{self.run_folder}: the run's folder has been removed; the training cannot be kept")
        is_time = self.minutes > 0 and time.monotonic() - self._saved_at >= 60 * self.minutes
        if is_due(trainer.global_step, self.every) or is_time or self._asked:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save what was reached; raises as after a step."""
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Save the steps that were whole, unless it is known that they are no good or cannot be saved."""
        if self.can_save and not isinstance(exception, UserError):
            self._save(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Put parameters apart from the rest, and buffers back to where they were between two steps."""
        state = checkpoint["state_dict"]
        state.update(self._buffers)
        names = [name for name, _ in pl_module.named_parameters() if name in state]
        checkpoint["weights"] = {name: state.pop(name) for name in names}
        checkpoint[THREADS] = torch.get_num_threads()

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Warn where the CPU's threads are more or fewer than before: sums are rounded otherwise, in the last bits."""
        before, now = checkpoint.get(THREADS), torch.get_num_threads()
        if before not in (None, now) and pl_module.device.type == "cpu":
            log.warning(
                "CPU threads: %d until now, %d from now on; it ends in the same bits only with OMP_NUM_THREADS=%d",
                *(before, now, before),
            )

    def _save(self, trainer: Trainer) -> None:
        path = checkpoint_path(self.run_folder, trainer.global_step)
        self.can_save, self.is_saving = False, True
        try:
            if path not in self._kept:
                trainer.save_checkpoint(path)
                self._keep(path)
        finally:
            self.is_saving = False
        if self._asked:
            log.info("step %d is saved, as was asked for", trainer.global_step)
        self.can_save, self._asked, self._saved_at = True, False, time.monotonic()

    def _keep(self, newest: Path) -> None:
        """Remove all checkpoints but the last two that are known to be good: that this training wrote or began with."""
        self._kept = [*self._kept, newest][-N_KEPT:]
        for other in checkpoints_of(self.run_folder):
            if other not in self._kept:
                shutil.rmtree(other)


def _identity(folder: Path) -> tuple[int, int]:
    """What tells a folder from one that takes its name later; zeros where there is none."""
    try:
        found = os.stat(folder)
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino

"""A training stays among finite numbers: a step whose loss or gradient is not finite changes nothing."""

import logging
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor

from core.errors import DivergedError
from systems.base import LightningSystem

log = logging.getLogger(__name__)

#: So many steps in a row that are not finite end the training.
MOST_IN_A_ROW = 3


class FiniteSteps(Callback):
    """Skips steps that are not finite and counts them; after three in a row it gives up.

    In float16 the scaled gradient overflows now and then, until its scale has come down: those steps are the scaler's,
    which skips them itself.
    """

    def __init__(self) -> None:
        self.n_skipped = 0
        self.n_returns = 0
        """How often the training has gone back to a checkpoint, to go on with other random numbers."""
        self.has_gone_back = False
        """Whether this process has done so: once is enough."""
        self._in_a_row = 0
        self._loss = torch.zeros(())

    def go_back(self) -> None:
        """The training will begin again from its last checkpoint."""
        self.n_returns, self.has_gone_back, self._in_a_row = self.n_returns + 1, True, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Each return has a random stream of its own, or the steps would be the same again."""
        if self.n_returns:
            assert isinstance(pl_module, LightningSystem)
            pl_module.stream_name = f"training after return {self.n_returns}"

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Remember the loss: it may be infinite while its gradient is not."""
        self._loss = trainer.strategy.reduce(loss.detach().clone())  # ranks skip the same steps

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Leave the optimiser without gradients where they, or the loss, are not finite.

        Raises:
            DivergedError: for the third time in a row.
        """
        gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
        # One number to wait for on a GPU: a sum is finite where all that it adds up is.
        if bool(torch.stack([self._loss, *(gradient.sum() for gradient in gradients)]).isfinite().all()):
            self._in_a_row = 0
            return
        scaler = getattr(trainer.precision_plugin, "scaler", None)
        if scaler is not None and scaler.get_scale() > 1 and bool(self._loss.isfinite()):
            return
        optimizer.zero_grad(set_to_none=True)  # Adam leaves what has no gradient as it is, moments too
        self.n_skipped, self._in_a_row = self.n_skipped + 1, self._in_a_row + 1
        step = trainer.global_step
        log.warning("step %d is skipped: its loss or gradient is not finite (%d so far)", step, self.n_skipped)
        if self._in_a_row == MOST_IN_A_ROW:
            raise DivergedError(f"step {step}: the loss or its gradient is not finite, {MOST_IN_A_ROW} times in a row")

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        """Let the count be logged with the step's numbers."""
        outputs["numbers"]["skipped_steps"] = self.n_skipped

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {"n_skipped": self.n_skipped, "n_returns": self.n_returns}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on counting; a return that comes after the checkpoint is not forgotten."""
        self.n_skipped = max(self.n_skipped, state_dict["n_skipped"])
        self.n_returns = max(self.n_returns, state_dict["n_returns"])

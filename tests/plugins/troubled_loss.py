"""A loss that does harm at its second step, as its settings say: for tests of what becomes of the others."""

import os
import signal
import time
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from core.kinds import Loss, TrainingStep


class TroubledLoss(Loss, name="troubled"):
    """Nothing, or what `how` says."""

    @dataclass(frozen=True)
    class Config(Loss.Config):
        """Settings of trouble."""

        how: Literal["none", "kill", "hang", "diverge", "raise", "memory", "slow"] = field(default="none", kw_only=True)
        """What happens at the second step."""

    def forward(self, now: TrainingStep) -> Float[Tensor, ""]:
        """Zero, if it comes back."""
        if self.config.how == "slow":
            time.sleep(0.2)
        elif now.step == 1:
            self._harm()
        return torch.zeros(()) / (0 if self.config.how == "diverge" and now.step > 0 else 1)

    def _harm(self) -> None:
        how = self.config.how
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "hang":
            time.sleep(3600)
        if how == "raise":
            raise ValueError("a fault of the plugin's own")
        if how == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

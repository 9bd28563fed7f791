"""The body of every training of a denoiser: live weights, their average, Adam, and a checkpoint to go on from."""

import copy
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from toybox.checkpoint import Clock, load_state, save_state, settings_since, stage_facts, steps
from toybox.loss_levels import LossLevels

Network = TypeVar("Network", bound=nn.Module)


class TrainingSettings(Protocol):
    """What a training's settings, a dataclass, say of its body."""

    @property
    def steps(self) -> int: ...

    @property
    def rate(self) -> float: ...

    @property
    def ema(self) -> float: ...

    @property
    def save_every(self) -> int: ...


class Learning(Generic[Network]):
    """A training that goes on where the checkpoint at `path` ended, if there is one.

    Attributes:
        live: the network that learns, in place.
        average: the moving average of its weights, which is what ships.
        levels: what weighs the levels of noise against each other.
        first: the step that this run begins with.

    Args:
        stage: its name on the progress bar.
        device: where the network learns.
    """

    def __init__(self, stage: str, path: Path, live: Network, settings: Any, device: str = "cpu") -> None:
        self._stage, self._path = stage, path
        self._settings: TrainingSettings = settings
        self.average = copy.deepcopy(live).to(device).eval().requires_grad_(False)
        self.live = live.to(device).train()
        self._optimiser = torch.optim.AdamW(live.parameters(), lr=settings.rate, weight_decay=1e-2, betas=(0.9, 0.99))
        saved = load_state(path)
        self._history = settings_since(saved, asdict(settings))
        self.first, self._losses, self._clock, self.levels = 0, [], Clock(), LossLevels()
        if saved:
            self.live.load_state_dict(saved["live"])
            self.average.load_state_dict(saved["average"])
            self._optimiser.load_state_dict(saved["optimiser"])
            self.first, self._losses, self._clock = saved["step"], saved["losses"], Clock(saved["seconds"])
            self.levels = LossLevels(saved["levels"])

    def steps(self) -> Iterator[int]:
        """The steps that are left, behind a progress bar."""
        for step, bar in steps(self._stage, self.first, self._settings.steps):
            yield step
            bar.set_postfix(loss=f"{np.mean(self._losses[-100:]):.4f}", refresh=False)

    def learn(self, step: int, rate: float, loss: Tensor, errors: Tensor, age: int | None = None) -> bool:
        """One step of Adam down `loss`; returns whether the step ended in a checkpoint.

        Args:
            errors: of each picture [batch]; their mean is what the bar and the model card show.
            age: steps that the average has seen, where it has begun anew since the first.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        self._optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.live.parameters(), 1.0)
        self._optimiser.step()
        self._losses.append(errors.mean().item())
        average_into(self.average, self.live, step if age is None else age, self._settings.ema)
        whole = (step + 1) % self._settings.save_every == 0 or step + 1 == self._settings.steps
        if whole:
            self._save(step + 1)
        return whole

    def result(self) -> tuple[Network, dict[str, Any]]:
        """The average, with facts for the model card."""
        taken = max(self.first, self._settings.steps)
        return self.average, stage_facts(taken, self._history, self._clock.seconds, self._losses)

    def _save(self, taken: int) -> None:
        """The checkpoint before this one stays beside it as `.before`."""
        if self._path.exists():
            before = self._path.with_suffix(".before")
            before.unlink(missing_ok=True)
            os.link(self._path, before)
        state: dict[str, object] = {"live": self.live.state_dict(), "average": self.average.state_dict()}
        state |= {"optimiser": self._optimiser.state_dict(), "levels": self.levels.expected}
        state |= {"step": taken, "losses": self._losses, "seconds": self._clock.seconds, "history": self._history}
        save_state(self._path, state)


@torch.no_grad()
def average_into(average: nn.Module, module: nn.Module, step: int, highest: float) -> None:
    """One step of the exponential moving average; young averages forget faster."""
    decay = min(highest, (1 + step) / (10 + step))
    for old, new in zip(average.parameters(), module.parameters(), strict=True):
        old.lerp_(new, 1 - decay)


def snapshot(path: Path, network: Network) -> tuple[Network, dict[str, Any]]:
    """`network` with the averaged weights of the checkpoint at `path`, and facts for the model card.

    Exits in one line where there is no checkpoint.
    """
    saved = load_state(path)
    if saved is None:
        sys.exit(f"toybox.train: {path}: no checkpoint yet; run without --snapshot first")
    network.load_state_dict(saved["average"])
    return network.eval(), stage_facts(saved["step"], saved["history"], saved["seconds"], saved["losses"])

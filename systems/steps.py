"""A training step as everybody counts it: its number, and what it renders."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from core.chance import ALONE
from core.kinds import System
from core.memory import with_less_memory
from core.types import Cameras, RenderOutput

T = TypeVar("T")


class Steps:
    """Counts from 0; Lightning's idea of data. It has a state, so that resuming in the middle is nothing special."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps

    def __len__(self) -> int:
        return self.n_steps

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.n_steps))

    def state_dict(self) -> dict[str, Any]:
        """Nothing: the step is Lightning's own."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to restore."""


def within_memory(step: Callable[[], T], system: System) -> T:
    """What a step gives, with its gradients; where memory runs out, it is tried once more in smaller chunks.

    With several ranks there is no second try: the others would not repeat the step, and its sums over ranks would hang.
    """
    if system.rank != ALONE:
        return step()

    def take_less() -> str:
        return "in smaller chunks, and so from here on" if system.take_less_memory() else ""

    return with_less_memory(step, take_less)


@dataclass(frozen=True)
class StepRendering:
    """What one training step renders, where guidance and losses need not look at the same pictures."""

    whole: RenderOutput
    """Whole pictures, for the guidance; a part of them may come without gradient."""
    fine: RenderOutput
    """What was rendered with gradient, for the losses: often the same."""
    cameras: Cameras
    """Of what was rendered with gradient."""

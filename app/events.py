"""What a training reports while it runs: for progress bars, notebooks and live pages.

A listener is called in the training's own thread, between two steps: while it waits, the training waits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from systems.base import LightningSystem


@dataclass(frozen=True)
class Started:
    """The run's folder is there and its parts are built; the first step comes next."""

    folder: Path
    system: LightningSystem
    """What is trained. Between two steps a listener may render it; it must change nothing."""
    step: int
    """Steps that are done already."""
    total_steps: int


@dataclass(frozen=True)
class Stepped:
    """The optimiser has made a step."""

    step: int
    """Steps that are done, this one included."""
    total_steps: int
    loss: float


@dataclass(frozen=True)
class Previewed:
    """A contact sheet has been drawn."""

    step: int
    path: Path


@dataclass(frozen=True)
class Trained:
    """No step comes after this, and the checkpoint is written."""

    folder: Path
    step: int
    total_steps: int
    """More than `step` where the training was asked to stop."""


@dataclass(frozen=True)
class Exported:
    """An exporter has written its files."""

    exporter: str
    files: tuple[Path, ...]
    seconds: float


Event = Started | Stepped | Previewed | Trained | Exported
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """A listener that does nothing."""

"""How a training is asked to end before its time, by a program or a signal. It is imported before torch is."""

import threading
from typing import Protocol, runtime_checkable


class Interrupted(BaseException):
    """A signal ends what is under way. No Exception: nobody may take it for a fault, and go on."""


@runtime_checkable
class Saver(Protocol):
    """What saves a training: systems.checkpoints.Checkpoints."""

    can_save: bool
    is_saving: bool

    def ask(self) -> None:
        """Save after the step that is under way."""


class Stop:
    """Asks a training to end after the step that it is in, with a checkpoint. Any thread may ask."""

    def __init__(self) -> None:
        self._asked = threading.Event()

    @property
    def is_requested(self) -> bool:
        """Whether someone has asked."""
        return self._asked.is_set()

    def request(self) -> None:
        """Ask for it; once is enough."""
        self._asked.set()

    def arm(self, saver: Saver | None = None) -> None:
        """From here on there is something to end softly; called when the first step is about to begin."""

    def disarm(self) -> None:
        """There no longer is."""

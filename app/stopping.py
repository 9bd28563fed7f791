"""How a command is ended before its time: asked by a program, or by a signal. It is imported before torch is.

A first signal ends a training after the step that it is in, and everything else where it stands; a second one ends the
process at once. Whatever it is doing, the process is gone after ten seconds: files are whole or absent at any moment.
"""

import os
import signal
import threading
import time
from types import FrameType
from typing import Any, Protocol, runtime_checkable

#: What ends a command. Under nohup, SIGHUP stays ignored.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)
#: A step that takes longer than this after a signal is given up; the steps before it are saved.
LONGEST_STEP_SECONDS = 6.0
#: The process ends after this even if it is in the middle of a long computation.
LONGEST_SECONDS = 9.5


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


class StopOnSignals(Stop):
    """Signals are requests to stop as long as it is armed."""

    def __init__(self, signals: "Signals") -> None:
        super().__init__()
        self.signals = signals
        self.saver: Saver | None = None

    def arm(self, saver: Saver | None = None) -> None:
        """A signal requests a stop; SIGUSR1 asks the saver."""
        self.saver, self.signals.armed = saver, self

    def disarm(self) -> None:
        """A signal interrupts."""
        self.signals.armed = None


class Signals:
    """What signals mean within its `with` block, in the main thread; afterwards they mean what they meant before."""

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        """The signal that ends the command."""
        self.armed: StopOnSignals | None = None
        self.has_interrupted = False
        """Whether something was broken off where it stood; a library may have made another error of that."""
        self._before: dict[signal.Signals, Any] = {}
        self._end: threading.Timer | None = None

    def __enter__(self) -> "Signals":
        if threading.current_thread() is threading.main_thread():  # Python delivers signals to no other
            handlers = {
                **dict.fromkeys(ENDING, self._receive),
                signal.SIGUSR1: self._save,
                signal.SIGALRM: self._give_up,
            }
            if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
                del handlers[signal.SIGHUP]
            self._before = {each: signal.signal(each, handler) for each, handler in handlers.items()}
        return self

    def __exit__(self, *_: object) -> None:
        if self._end is not None:
            self._end.cancel()
            signal.setitimer(signal.ITIMER_REAL, 0)
        for each, handler in self._before.items():
            signal.signal(each, handler)

    @property
    def exit_code(self) -> int:
        """Of a process that a signal has ended; 0 where none has come."""
        return 128 + self.received if self.received else 0

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None:
            if number != signal.SIGXCPU:  # which the system repeats every second
                self._end_now(number, "Stopped at once; what had been saved before is untouched.")
            return
        self.received = signal.Signals(number)
        self._end = threading.Timer(LONGEST_SECONDS, self._end_late)
        self._end.daemon = True
        self._end.start()
        if self.armed is None:
            self.has_interrupted = True
            raise Interrupted
        signal.setitimer(signal.ITIMER_REAL, LONGEST_STEP_SECONDS)
        self.armed.request()

    def _give_up(self, number: int, frame: FrameType | None) -> None:
        """The step takes too long."""
        if self.armed is not None and self.armed.saver is not None and self.armed.saver.can_save:
            raise Interrupted

    def _save(self, number: int, frame: FrameType | None) -> None:
        if self.armed is not None and self.armed.saver is not None:
            self.armed.saver.ask()

    def _end_late(self) -> None:
        if self.armed is not None and self.armed.saver is None:
            return  # others do the work, and save it: the workers of jobs
        while self.armed is not None and self.armed.saver is not None and self.armed.saver.is_saving:
            time.sleep(0.05)
        assert self.received is not None
        self._end_now(self.received, "Stopped in mid-step; what had been saved before is untouched.")

    def _end_now(self, number: int, message: str) -> None:
        try:
            os.write(2, f"\n{message}\n".encode())
        finally:
            os._exit(128 + number)

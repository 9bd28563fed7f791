"""The process that carries out a command: signals that end it, streams that may go away, messages, waiting threads.

A first signal ends a training after the step that it is in, and everything else where it stands; a second one ends the
process at once. Whatever it is doing, the process is gone after ten seconds: files are whole or absent at any moment.
It is imported before torch is.
"""

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from app.stopping import Interrupted, Saver, Stop
from app.terminal import say
from core.errors import printable
from core.failures import ROOT

OURS = ("app", "core", "geometry", "guidance", "renderers", "systems", "exporters")
#: What ends a command. Under nohup, SIGHUP stays ignored.
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)
#: A step that takes longer than this after a signal is given up; the steps before it are saved.
LONGEST_STEP_SECONDS = 6.0
#: The process ends after this even if it is in the middle of a long computation.
LONGEST_SECONDS = 9.5
#: What a user may have said of how OpenMP's threads wait: OpenMP's own word, GNU's and Intel's.
SAID_BY_USERS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")


def wait_passively() -> None:
    """Let OpenMP's threads sleep while they wait, unless the user has said how.

    To be called before torch is imported: its OpenMP reads the environment once.
    By default they wait in a loop that takes their core from whoever could use it. Two trainings at once on two cores,
    each with two threads, so spin for each other most of the time; `python -m benchmarks.threads` measures it.
    """
    if not any(name in os.environ for name in SAID_BY_USERS):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def python_path() -> str:
    """PYTHONPATH of a process that finds these modules, wherever it works."""
    return os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


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


@contextmanager
def lasting_streams() -> Iterator[None]:
    """Within this block, failed writes to stdout or stderr are ignored and later output is discarded."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:  # else the first file that is opened takes the number, and gets what libraries print
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # or children, the workers of jobs, have none
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        sys.stdout, sys.stderr = (_Lasting(stream or nowhere) for stream in before)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            sys.stdout, sys.stderr = before


class _Lasting:
    """A text stream whose failures to write are not told; from the first one on, it leads nowhere."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, if there still is a reader."""
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:  # a ValueError too, but there is a reader: it gets \u2603
            encoding = self._stream.encoding
            return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except (OSError, ValueError):
            self._lead_nowhere()
            return len(text)

    def flush(self) -> None:
        """Write what is held back, if there still is a reader."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._lead_nowhere()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _lead_nowhere(self) -> None:
        """What is still in its buffer is written at the process's end, which would change the exit code."""
        with contextlib.suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def set_up_messages() -> None:
    """Let log messages and warnings go to stderr, a line each: of our packages all, of others warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    for name in OURS:
        logging.getLogger(name).setLevel(logging.INFO)
    warnings.showwarning = _show_warning


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    say(f"{category.__name__}: {' '.join(str(message).split())}", on_stderr=True)

"""Commands in processes of their own, for tests that kill, signal and starve them; started in a moment.

They are forked from a server that has imported everything and has trained nothing.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

RECIPE = Path(__file__).parents[1] / "plugins" / "faulty.yaml"
#: A process that has said nothing new for so long hangs, also on a busy machine.
PATIENCE_SECONDS = 240.0

_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(["tests.app.warm"])


class Child:
    """`python launch.py` with these arguments; what it says goes to the file `said`."""

    def __init__(
        self,
        arguments: Sequence[str],
        said: Path,
        environment: Mapping[str, str] | None = None,
        limits: Mapping[int, int] | None = None,
    ) -> None:
        """
        Args:
            limits: soft and hard limits of the process, by the constants of `resource`.
        """
        self._said = said
        words = ([*arguments, "--device", "cpu"], str(said), dict(environment or {}), dict(limits or {}))
        self.process = _server.Process(target=_launch, args=words)
        self.process.start()

    @property
    def said(self) -> str:
        """What it has written to stdout and stderr so far."""
        return self._said.read_text(errors="replace") if self._said.exists() else ""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def wait(self, seconds: float | None = None) -> int:
        """Its exit code, or minus the signal that has ended it: within so many seconds, or while it is heard of."""
        self.process.join(seconds or PATIENCE_SECONDS)
        heard = ""
        while seconds is None and self.process.exitcode is None and heard != self.said:
            heard = self.said
            self.process.join(PATIENCE_SECONDS)
        if self.process.exitcode is None:
            self.process.kill()
            raise AssertionError(f"still running:\n{self.said}")
        return self.process.exitcode

    def until(self, holds: Callable[[], object], poll_seconds: float = 0.005) -> None:
        """Wait until something has come about, while it runs."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert self.process.is_alive(), f"ended with {self.process.exitcode}:\n{self.said}"
            assert time.monotonic() < deadline, self.said
            time.sleep(poll_seconds)


def train(out: Path, *overrides: str) -> list[str]:
    """The arguments of a small training; its run goes into the folder `out`."""
    return ["--config", str(RECIPE), "--out", str(out), *overrides]


def only_run(out: Path) -> Path:
    """The one run in a folder."""
    (run,) = out.iterdir()
    return run


def _launch(arguments: list[str], said: str, environment: dict[str, str], limits: dict[int, int]) -> None:
    os.environ.update(environment)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # a suite that nohup has started ignores it, and so would its children
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    for kind, limit in limits.items():
        resource.setrlimit(kind, (limit, limit))
    from app.cli import main

    code = main(arguments)
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(code)

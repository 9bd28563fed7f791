"""What a command says on stderr while it works: a bar with time left, where it writes, what the exporters have made."""

import logging
import time
from typing import Any

from tqdm import tqdm

from app.events import Event, Exported, Started, Stepped, Trained
from app.terminal import say

log = logging.getLogger(__name__)


class Progress:
    """A listener: a bar with time left, steps per second and loss; where stderr is no terminal, a line per tenth."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._start = (0.0, 0)
        self._next_line = 0
        self.trained: Trained | None = None
        """How far the training came; None while it runs."""

    def __call__(self, event: Event) -> None:
        """Put an event on the screen."""
        if isinstance(event, Stepped):
            self._step(event)
        elif isinstance(event, Started):
            self._begin(event)
        elif isinstance(event, Trained):
            self.close()
            self.trained = event
            if event.step < event.total_steps:
                say(
                    f"Stopped at step {event.step} of {event.total_steps}; the checkpoint is saved. "
                    f"Go on with: python launch.py --resume {event.folder}",
                    on_stderr=True,
                )
        elif isinstance(event, Exported):
            names = ", ".join(path.name for path in event.files)
            say(f"{event.exporter}: {names} ({event.seconds:.1f} s)", on_stderr=True)

    def close(self) -> None:
        """Leave the finished bar on the screen."""
        if self._bar is not None:
            self._bar.close()

    def _begin(self, event: Started) -> None:
        say(f"{'Going on in' if event.step else 'Writing to'} {event.folder}", on_stderr=True)
        total, done = event.total_steps, event.step
        self._bar = tqdm(total=total, initial=done, unit="step", dynamic_ncols=True, disable=None, desc="training")
        self._start = (time.monotonic(), done)
        self._next_line = done + max(1, total // 10)

    def _step(self, event: Stepped) -> None:
        if self._bar is None:
            return
        if not self._bar.disable:
            self._bar.set_postfix_str(f"loss {event.loss:.4f}", refresh=False)
            self._bar.update(event.step - self._bar.n)
        elif event.step >= self._next_line:
            self._next_line += max(1, event.total_steps // 10)
            log.info("%s", self._line(event))

    def _line(self, event: Stepped) -> str:
        seconds, begun_at = time.monotonic() - self._start[0], self._start[1]
        rate = (event.step - begun_at) / max(seconds, 1e-9)
        left = in_minutes((event.total_steps - event.step) / max(rate, 1e-9))
        steps = f"step {event.step}/{event.total_steps}, loss {event.loss:.4f}"
        return f"{steps}, {rate:.1f} steps/s, {left} left"


def in_minutes(seconds: float) -> str:
    """A time for people: `0:42`, `8:59`, `2 h 5 min`."""
    whole = round(seconds)
    minutes = whole // 60
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{minutes}:{whole % 60:02d}"

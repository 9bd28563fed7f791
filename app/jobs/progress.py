"""What a command says on stderr while jobs are done: a line for each that has ended, and one bar for all."""

import sys
import time
from typing import Any

from tqdm import tqdm

from app.jobs.folder import Record, Task
from app.progress import in_minutes
from app.terminal import say


class Board:
    """One bar, in jobs and parts of them, with the time left; where stderr is no terminal, the lines say it."""

    def __init__(self, n_jobs: int) -> None:
        self.n_jobs = n_jobs
        self._n_ended, self._shares = 0, dict[str, float]()
        self._began = time.monotonic()
        bar = "{desc} {percentage:3.0f}%|{bar}| {n:.1f}/{total:.0f} jobs [{elapsed}, {remaining} left]"
        self._bar: tqdm[Any] = tqdm(total=float(n_jobs), desc="jobs", bar_format=bar, dynamic_ncols=True, disable=None)

    def __call__(self, task: Task, news: Record | float) -> None:
        """An attempt has ended, or come so far."""
        if not isinstance(news, Record):
            self._shares[task.id] = news
        else:
            self._shares.pop(task.id, None)
            self._ended(task, news)
        self._bar.update(self._n_ended + sum(self._shares.values()) - self._bar.n)

    def close(self) -> None:
        """Leave the bar on the screen."""
        self._bar.close()

    def _ended(self, task: Task, record: Record) -> None:
        is_last = record.status in ("done", "failed", "poisoned")
        self._n_ended += is_last
        count = f"[{self._n_ended}/{self.n_jobs}]" if is_last else "once more:"
        took = f"in {record.seconds['whole']:.1f} s" if "whole" in record.seconds else ""
        error = f": {record.error}" if record.error else ""
        left = f" ({in_minutes(self._seconds_left())} left)" if self._bar.disable and is_last else ""
        with tqdm.external_write_mode(file=sys.stderr):
            say(f"{count} {record.status} {task.id} {took}".rstrip() + f"{error}{left}", on_stderr=True)

    def _seconds_left(self) -> float:
        done = self._n_ended + sum(self._shares.values())
        return (time.monotonic() - self._began) / done * (self.n_jobs - done)

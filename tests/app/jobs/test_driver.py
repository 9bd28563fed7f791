"""The driver against an engine whose workers never end."""

import time
from pathlib import Path
from typing import Any

import pytest

from app.jobs import driver
from app.jobs.driver import Driver
from app.jobs.engine import Engine, News, Progressed
from app.jobs.folder import Task
from app.jobs.results import Results
from app.stopping import Stop


class Endless(Engine):
    """Two workers that make no end of their steps; somebody asks to stop while they do."""

    n_workers = 2

    def __init__(self, stop: Stop) -> None:
        self.asked, self.ended = 0, set[int]()
        self._stop = stop

    def give(self, worker: int, task: Task) -> None:
        """Begin, and never end."""

    def wait(self, seconds: float) -> list[News]:
        """Only the first is ever heard of."""
        self._stop.request()
        time.sleep(0.01)
        return [Progressed(0, 1, 10)]

    def replace(self, worker: int) -> None:
        """Note it."""
        self.ended.add(worker)

    def stop(self) -> None:
        """Note it."""
        self.asked += 1

    def close(self) -> None:
        """Nothing is left to end."""


def test_workers_that_do_not_stop_are_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LONGEST_SECONDS", driver.LOOK_EVERY_S + 0.2)
    stop, records = Stop(), list[Any]()
    engine = Endless(stop)
    tasks = [Task(f"r{i}", i, "a ball", tmp_path / f"r{i}", (), {}) for i in range(3)]
    made = Driver(engine, Results(tmp_path), None, lambda task, record: records.append(record))
    began = time.monotonic()
    made.run(tasks, stop)
    assert 0.2 < time.monotonic() - began < 5
    assert (engine.asked, engine.ended) == (1, {0, 1})
    assert made.records == []

"""What a worker tells: of its time, and where it cannot write."""

from pathlib import Path

import pytest

from app.events import Started, Trained
from app.jobs import worker
from app.jobs.folder import Task
from app.jobs.worker import Kept, Timing, carry_out_task
from app.stopping import Stop
from systems.base import LightningSystem


def test_a_folder_that_takes_no_note_is_a_row_that_has_failed_and_not_the_worker_s_end(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file where the folder would be")
    task = Task("a", 1, "a ball", tmp_path / "a", (), {})
    record = carry_out_task(task, Stop(), lambda step, total: None, Kept())
    assert record is not None
    assert record.status == "failed"
    assert str(tmp_path / "a") in record.error


def test_a_job_of_several_stages_starts_with_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(worker.time, "monotonic", lambda: now)
    timing = Timing(lambda step, total: None)
    system = object.__new__(LightningSystem)  # the clock does not look at it
    started, trained = Started(Path("a"), system, 0, 5), Trained(Path("a"), 5, 5)
    for event, seconds in ((started, 3), (trained, 10), (started, 4), (trained, 20)):
        now += seconds
        timing(event)
    now += 7
    assert timing.seconds(0.0) == {"start": 3, "training": 34, "export": 7, "whole": 44, "cold": 0}

"""What a worker tells: of its time, and where it cannot write."""

from pathlib import Path

import pytest

from app.events import Exported, Started, Trained
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


def test_a_job_of_several_stages_starts_with_the_first_and_goes_on_to_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, came = 100.0, list[tuple[int, int]]()
    monkeypatch.setattr(worker.time, "monotonic", lambda: now)
    timing = Timing(lambda step, total: came.append((step, total)), [5, 15])
    system = object.__new__(LightningSystem)  # the clock does not look at it
    whole, first, second = Path("a"), Path("a/1-latent-nerf"), Path("a/2-latent-paint")
    events = [
        (Started(first, system, 0, 5), 3),
        (Trained(whole, 5, 5), 10),
        (Exported("mesh", (), 2.0), 2),
        (Started(second, system, 0, 15), 4),
        (Trained(whole, 15, 15), 20),
    ]
    for event, seconds in events:
        now += seconds
        timing(event)
    now += 7
    assert timing.seconds(0.0) == {"start": 3, "training": 34, "export": 9, "whole": 46, "cold": 0}
    assert came == [(0, 20), (5, 20), (5, 20), (20, 20)]

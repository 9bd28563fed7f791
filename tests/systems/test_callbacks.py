"""Previews, checkpoints and the log of numbers."""

import csv
from contextlib import nullcontext
from pathlib import Path

import pytest
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from PIL import Image

from systems.callbacks import MetricsLog, Previews, is_due
from systems.checkpoint_files import CHECKPOINT, read_checkpoint
from systems.checkpoints import Checkpoints
from tests.systems.small_systems import fitting_system, quiet_trainer


def test_due_every_so_many_steps():
    assert [step for step in range(10) if is_due(step, 3)] == [3, 6, 9]
    assert not any(is_due(step, 0) for step in range(10))


def test_a_training_leaves_previews_numbers_and_a_checkpoint(tmp_path: Path):
    callbacks = [MetricsLog(tmp_path, every=2), Checkpoints(tmp_path, 2), Previews(tmp_path, 2, 2)]
    quiet_trainer(5, callbacks).fit(fitting_system(5))
    assert sorted(path.name for path in (tmp_path / "previews").iterdir()) == ["step-000002.png", "step-000004.png"]
    with Image.open(tmp_path / "previews" / "step-000004.png") as sheet:
        assert sheet.size == (2 * 16 + 4, 4 * 16 + 3 * 4)
    assert read_checkpoint(tmp_path / CHECKPOINT)["global_step"] == 5
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "2", "4"]
    for row in rows:
        total = float(row["loss/sds"]) + 0.01 * float(row["loss/sparsity"])
        assert float(row["loss"]) == pytest.approx(total, rel=1e-4)
        assert float(row["steps_per_second"]) > 0


class Remembering(DummyLogger):
    """Says how it was told to finish."""

    def __init__(self) -> None:
        super().__init__()
        self.finished: list[str] = []

    def finalize(self, status: str) -> None:
        self.finished.append(status)


class Failing(Callback):
    def on_after_backward(self, trainer: Trainer, pl_module: LightningModule) -> None:
        raise RuntimeError("in mid-step")


@pytest.mark.parametrize("fails", [False, True])
def test_loggers_write_what_they_hold_also_where_the_training_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    logger = Remembering()
    monkeypatch.setattr("systems.callbacks.open_loggers", lambda *_: [logger])
    trainer = quiet_trainer(2, [MetricsLog(tmp_path, ["tensorboard"]), *([Failing()] if fails else [])])
    with pytest.raises(RuntimeError, match="in mid-step") if fails else nullcontext():
        trainer.fit(fitting_system(2))
    assert logger.finished == ["failed" if fails else "success"]


def rows_of(run_folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv by name."""
    with (run_folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_resuming_appends_to_the_numbers(tmp_path: Path):
    quiet_trainer(2, [Checkpoints(tmp_path, 0), MetricsLog(tmp_path, every=1)]).fit(fitting_system(4))
    resumed = quiet_trainer(4, [MetricsLog(tmp_path, every=1)])
    resumed.fit(fitting_system(4), ckpt_path=tmp_path / CHECKPOINT, weights_only=True)
    assert [row["step"] for row in rows_of(tmp_path)] == ["1", "2", "3", "4"]


def test_rows_beyond_the_checkpoint_are_forgotten_when_it_is_resumed(tmp_path: Path):
    """A process that was killed after its last checkpoint has written more, the last line torn."""
    quiet_trainer(2, [Checkpoints(tmp_path, 0), MetricsLog(tmp_path, every=1)]).fit(fitting_system(4))
    kept = rows_of(tmp_path)
    with (tmp_path / "metrics.csv").open("a", newline="") as file:
        csv.DictWriter(file, list(kept[0])).writerows({**kept[-1], "step": step, "loss": -1} for step in (3, 4))
        file.write("1.2,")
    resumed = quiet_trainer(4, [MetricsLog(tmp_path, every=1)])
    resumed.fit(fitting_system(4), ckpt_path=tmp_path / CHECKPOINT, weights_only=True)
    rows = rows_of(tmp_path)
    assert [{name: float(value) for name, value in row.items()} for row in rows[:2]] == [
        {name: float(value) for name, value in row.items()} for row in kept
    ]
    assert [row["step"] for row in rows] == ["1", "2", "3", "4"]
    assert all(float(row["loss"]) >= 0 for row in rows)

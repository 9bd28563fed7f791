"""Where numbers and pictures go: metrics.csv over a resume; TensorBoard and Weights & Biases where installed."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from exporters.curves import read_metrics
from systems.loggers import log_picture, open_loggers, require_loggers

PICTURE = np.arange(12 * 10 * 3, dtype=np.uint8).reshape(12, 10, 3)


def log(folder: Path, names: list[str], after: int, *steps: int) -> None:
    """The numbers of steps after a checkpoint, as a process that ends well logs them."""
    loggers = open_loggers(names, folder, after)
    for step in steps:
        for logger in loggers:
            logger.log_metrics({"loss": step / 8, "seconds": float(step)}, step)
            log_picture(logger, step, PICTURE)
    for logger in loggers:
        logger.finalize("success")


def test_the_run_s_csv_holds_all_rows_by_name(tmp_path: Path) -> None:
    log(tmp_path, ["csv"], 0, 1, 10, 20)
    metrics = read_metrics(tmp_path / "metrics.csv")
    assert metrics.columns == {"step": [1, 10, 20], "loss": [0.125, 1.25, 2.5], "seconds": [1, 10, 20]}
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]


def test_what_was_logged_beyond_the_checkpoint_is_logged_anew(tmp_path: Path) -> None:
    """Killed after step 20, in the middle of the line of step 30; the last checkpoint is of step 15."""
    log(tmp_path, ["csv"], 0, 10, 20)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("3.7")
    log(tmp_path, ["csv"], 15, 20, 30)
    assert read_metrics(tmp_path / "metrics.csv").columns["step"] == [10, 20, 30]


def test_a_row_is_on_the_disk_as_soon_as_it_is_logged(tmp_path: Path) -> None:
    (logger,) = open_loggers(["csv"], tmp_path, 0)
    logger.log_metrics({"loss": 1.0}, 10)
    assert read_metrics(tmp_path / "metrics.csv").steps == [10]


def test_a_logger_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("systems.loggers.find_spec", lambda name: None)
    require_loggers(["csv"])
    message = r"^trainer\.logger\.1: wandb is not installed; pip install -r requirements-logging\.txt, or leave it out$"
    with pytest.raises(UserError, match=message):
        require_loggers(["csv", "wandb"])


@pytest.mark.skipif(find_spec("tensorboard") is None, reason="tensorboard is not installed (requirements-logging.txt)")
@pytest.mark.filterwarnings("default")  # of the package, under Pythons and protobufs newer than it
def test_tensorboard_shows_numbers_and_previews(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # pyright: ignore

    log(tmp_path, ["tensorboard"], 0, 10, 20)
    log(tmp_path, ["tensorboard"], 15, 20, 30)
    events: Any = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(10, 1.25), (20, 2.5), (30, 3.75)]
    assert [event.step for event in events.Images("preview")] == [10, 20, 30]
    assert (events.Images("preview")[0].height, events.Images("preview")[0].width) == PICTURE.shape[:2]


@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed (requirements-logging.txt)")
@pytest.mark.filterwarnings("default")  # of the package
def test_weights_and_biases_keeps_an_offline_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    log(tmp_path, ["wandb"], 0, 10, 20)
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert list(run.glob("*.wandb"))
    assert list(run.glob("files/media/images/preview_*.png"))

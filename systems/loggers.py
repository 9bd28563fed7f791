"""Where the numbers and pictures of a training go: Lightning's own loggers, set up for a run's folder."""

import csv
import hashlib
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from lightning.fabric.loggers.csv_logs import CSVLogger
from lightning.fabric.loggers.logger import Logger
from numpy.typing import NDArray

from core.errors import UserError

PROJECT = "latent-nerf"


def require_loggers(names: Sequence[str]) -> None:
    """Refuse loggers whose package is not installed; csv needs none.

    Raises:
        UserError: naming what to install.
    """
    for i, name in enumerate(names):
        if name != "csv" and find_spec(name) is None:
            raise UserError(
                f"trainer.logger.{i}: {name} is not installed; pip install -r requirements-logging.txt, or leave it out"
            )


def open_loggers(names: Sequence[str], run_folder: Path, step: int) -> list[Logger]:
    """The loggers of a recipe, ready for the numbers of the steps after `step`.

    What a killed process wrote beyond its last checkpoint is forgotten, where a logger can: it is trained again.
    """
    make = {"csv": _csv_logger, "tensorboard": _tensorboard_logger, "wandb": _wandb_logger}
    return [make[name](run_folder, step) for name in names]


def log_picture(logger: Logger, step: int, picture: NDArray[np.uint8]) -> None:
    """Give a preview, rows x columns x RGB, to a logger, if it is one that shows pictures."""
    if logger.name == "tensorboard":
        logger.experiment.add_image("preview", picture, step, dataformats="HWC")  # pyright: ignore[reportAttributeAccessIssue]
    elif logger.name == PROJECT:
        logger.log_image("preview", [picture], step)  # pyright: ignore[reportAttributeAccessIssue]


def _csv_logger(run_folder: Path, step: int) -> Logger:
    """metrics.csv of the run. Lightning's logger begins the file anew, so the rows up to `step` are written again."""
    path = run_folder / "metrics.csv"
    kept = [row for row in read_rows(path) if row["step"] <= step]
    logger = CSVLogger(run_folder, name="", version="", flush_logs_every_n_steps=1)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Experiment logs directory")
        experiment = logger.experiment
    for row in kept:
        experiment.log_metrics(row, int(row["step"]))
    experiment.save()
    return logger


def _tensorboard_logger(run_folder: Path, step: int) -> Logger:
    from lightning.fabric.loggers.tensorboard import TensorBoardLogger

    return TensorBoardLogger(run_folder, name="tensorboard", version="", purge_step=step + 1)


def _wandb_logger(run_folder: Path, step: int) -> Logger:
    """One run of Weights & Biases for each run folder, which a resumed training goes on with."""
    from lightning.pytorch.loggers import WandbLogger

    mark = hashlib.sha256(str(run_folder.resolve()).encode()).hexdigest()[:12]
    return WandbLogger(name=run_folder.name, save_dir=run_folder, id=mark, project=PROJECT, resume="allow")


def read_rows(path: Path) -> list[dict[str, float]]:
    """The whole rows of a metrics.csv, if there is one; a line that a power cut has torn is left out."""
    if not path.is_file():
        return []
    rows: list[dict[str, float]] = []
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        table: Any = csv.DictReader(line for line in file if "\0" not in line)
        with suppress(csv.Error):  # no table from here on
            for row in table:
                with suppress(TypeError, ValueError):
                    rows.append({str(name): float(value) for name, value in row.items()})
    return [row for row in rows if "step" in row]

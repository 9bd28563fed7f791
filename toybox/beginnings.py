"""What a training begins with: random weights, those of an earlier model, or its own last checkpoint."""

import json
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from toybox.autoencoder import AutoencoderSettings
from toybox.checkpoint import load_state, save_json
from toybox.control import ControlSettings
from toybox.denoiser import DenoiserSettings
from toybox.latents import StableDiffusionPipeline
from toybox.pipeline import load_pipeline
from toybox.view_plan import ViewSettings

Settings = TypeVar("Settings", AutoencoderSettings, DenoiserSettings, ControlSettings, ViewSettings)


def earlier_model(work: Path, start: Path | None) -> tuple[StableDiffusionPipeline, dict] | None:
    """The model that the training in `work` began with, and what made that model; None where weights were random.

    The answer is kept in `work`: an export may since have replaced the model by what was trained further.

    Args:
        start: the model's folder, for a training that has not begun; None for random weights.

    Raises:
        ValueError: the training in `work` began otherwise, or `start` is no model of ours.
    """
    if (work / "vae.pt").exists():
        if start:
            raise ValueError(f"{work}: holds a training from random weights, not from {start}: take a new --work")
        return None
    note = work / "start.json"
    if not note.exists():
        if start is None:
            return None
        if not (start / "training.json").exists():
            raise ValueError(f"{start}: no training.json, so no model of python -m toybox.train: name one to --start")
        work.mkdir(parents=True, exist_ok=True)
        facts = json.loads((start / "training.json").read_text())
        save_json(note, {"folder": str(start.resolve()), "facts": facts})
    kept = json.loads(note.read_text())
    if start and str(start.resolve()) != kept["folder"]:
        raise ValueError(f"{work}: holds a training from {kept['folder']}, not from {start}: take a new --work")
    return load_pipeline(Path(kept["folder"])), kept["facts"]


def has_begun(work: Path) -> bool:
    """Whether `work` holds a training, from whatever weights."""
    return any((work / name).exists() for name in ("vae.pt", "start.json", "denoiser.pt"))


def kept_settings(path: Path, default: Settings) -> Settings:
    """The settings with which the stage of this checkpoint was last trained; `default` where there is none yet."""
    saved = load_state(path)
    return replace(default, **saved["history"][-1]["settings"]) if saved else default

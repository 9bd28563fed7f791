"""`python -m toybox.train --control`: trains the ControlNet that shows the bundled denoiser depth, and exports it.

python -m toybox.train --control [--work FOLDER] [--out FOLDER] [--steps N] [--snapshot]

It goes on where --work holds a training, with its settings, after a kill at any time.
"""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from toybox.beginnings import kept_settings
from toybox.checkpoint import save_json
from toybox.control import CHECKPOINT, ControlSettings, new_control, train_control
from toybox.denoiser import Denoiser
from toybox.latents import diffusers
from toybox.learning import snapshot
from toybox.origins import origin_facts
from toybox.pipeline import load_pipeline, put_in_place
from toybox.world import CONTROL_FOLDER, MODEL_FOLDER


def train_control_net(arguments: list[str]) -> int:
    """Trains what is not trained yet and exports it; returns the exit code."""
    options = _options(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    settings = kept_settings(options.work / CHECKPOINT, ControlSettings())
    if options.steps is not None:
        settings = replace(settings, steps=options.steps)
    pipeline = load_pipeline(MODEL_FOLDER)
    if options.snapshot:
        control, facts = snapshot(options.work / CHECKPOINT, new_control(pipeline.unet))
    else:
        vae = pipeline.vae.requires_grad_(False).to(memory_format=torch.channels_last)
        control, facts = train_control(Denoiser.of(pipeline), vae, options.work, settings)
    data = {"pictures": "cast anew for each step", "seed": settings.seed}
    export_control(control, options.out, {**origin_facts("cpu"), "data": data, "ControlNet": facts})
    print(f"toybox.train: the ControlNet is in {options.out}; judge it with: python -m toybox.evaluate --control")
    return 0


def export_control(control: Any, folder: Path, facts: dict[str, Any]) -> None:
    """Writes config and weights (float16, to be used as float32), each file whole or not at all.

    Args:
        facts: what made the weights; becomes `training.json`.
    """
    fresh = folder.with_name(folder.name + ".partial")
    shutil.rmtree(fresh, ignore_errors=True)
    nn.Module.to(control, dtype=torch.float16)  # diffusers' own `to` warns of layers that it has not
    control.save_pretrained(fresh, safe_serialization=True)
    nn.Module.to(control, dtype=torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(fresh.iterdir()):
        put_in_place(file, folder / file.name, fresh)
    fresh.rmdir()
    save_json(folder / "training.json", facts)


def load_control(folder: Path = CONTROL_FOLDER) -> Any:
    """The ControlNet of an exported folder, in float32 and frozen."""
    control = diffusers.ControlNetModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    return control.requires_grad_(False).eval()


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m toybox.train --control",
        description="Makes the ControlNet of depth for the bundled model; goes on where --work holds a training.",
    )
    work = Path(__file__).parent / ".work" / "control"
    parser.add_argument("--work", type=Path, default=work, help="checkpoints")
    parser.add_argument("--out", type=Path, default=CONTROL_FOLDER, help="where the ControlNet goes")
    parser.add_argument("--steps", type=int, help=f"in all ({ControlSettings().steps} by default)")
    parser.add_argument("--snapshot", action="store_true", help="export the last checkpoint's average as it is")
    parser.add_argument("--threads", type=int, help="CPU threads (torch's own choice by default)")
    return parser.parse_args(arguments)

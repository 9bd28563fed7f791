"""Tiny random diffusion models whose denoiser is told its cameras."""

import json
from pathlib import Path
from typing import Any

import diffusers as untyped_diffusers
import torch

from tests.tiny_pipelines import Family, make_tiny_model

diffusers: Any = untyped_diffusers


def make_told_model(
    folder: Path,
    n_together: int = 4,
    ray_maps: bool = True,
    pose: bool = True,
    up_axis: str = "y",
    family: Family = "v_prediction",
    scheduler: dict[str, Any] | None = None,
) -> Path:
    """Write a random model with a `cameras.json` into a folder and give the folder back."""
    make_tiny_model(folder, family, scheduler=scheduler)
    config = dict(diffusers.UNet2DConditionModel.load_config(folder / "unet"))
    if ray_maps:
        config["in_channels"] += 6
    if pose:
        config |= {"class_embed_type": "projection", "projection_class_embeddings_input_dim": 16}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        diffusers.UNet2DConditionModel.from_config(config).save_pretrained(folder / "unet")
    said = {"n_together": n_together, "ray_maps": ray_maps, "pose": pose, "up_axis": up_axis}
    (folder / "cameras.json").write_text(json.dumps(said))
    return folder

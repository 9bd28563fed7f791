"""The trained parts as a StableDiffusionPipeline: put together, saved, loaded, and asked for pictures."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from PIL import Image
from torch import Tensor, nn

from toybox.checkpoint import save_json
from toybox.denoiser import Denoiser
from toybox.latents import AutoencoderKL, StableDiffusionPipeline, diffusers
from toybox.networks import new_scheduler
from toybox.world import MODEL_FOLDER

SAMPLING_STEPS = 25
SAMPLING_GUIDANCE = 4.0
SHEET_CAPTIONS = (
    "a red chair, front view",
    "a blue house with a red roof, front view",
    "a green mug, side view",
    "a yellow duck, side view",
    "a white snowman with a blue hat, front view",
    "a purple mushroom, overhead view",
    "an orange car, back view",
    "a pink donut, bottom view",
)


def assemble(vae: AutoencoderKL, denoiser: Denoiser) -> StableDiffusionPipeline:
    """One pipeline of the parts as they are (no copies)."""
    pipeline = _pipeline_class()(
        vae=vae,
        text_encoder=denoiser.text_encoder,
        tokenizer=denoiser.tokenizer,
        unet=denoiser.unet,
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def export(pipeline: StableDiffusionPipeline, folder: Path, facts: dict) -> None:
    """Writes the pipeline's parts into `folder` as float16 safetensors, to be used as float32.

    Args:
        facts: what made the weights; becomes `training.json`.
    """
    fresh, aside = (folder.with_name(folder.name + ending) for ending in (".partial", ".old"))
    shutil.rmtree(fresh, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    networks = (pipeline.vae, pipeline.unet, pipeline.text_encoder)
    for network in networks:
        nn.Module.to(network, dtype=torch.float16)  # diffusers' own `to` warns of layers that these have not
    words = pipeline.tokenizer.backend_tokenizer
    words.no_padding()  # how texts were read last would be saved too
    words.no_truncation()
    pipeline.save_pretrained(fresh, safe_serialization=True)
    for network in networks:
        nn.Module.to(network, dtype=torch.float32)
    _load_as_float32(fresh / "text_encoder" / "config.json")
    for config in fresh.rglob("*.json"):
        _forget_folder(config)
    for part in sorted(fresh.iterdir()):
        put_in_place(part, folder / part.name, aside)
    fresh.rmdir()
    shutil.rmtree(aside, ignore_errors=True)
    save_json(folder / "training.json", facts)


def _load_as_float32(config: Path) -> None:
    """transformers loads weights as they were saved, diffusers as float32: a pipeline of both halves cannot draw."""
    save_json(config, {**json.loads(config.read_text()), "dtype": "float32"})


def _forget_folder(config: Path) -> None:
    """diffusers writes down from which folder of this machine a part was loaded."""
    settings = json.loads(config.read_text())
    if settings.pop("_name_or_path", None):
        save_json(config, settings)


def put_in_place(fresh: Path, target: Path, aside: Path) -> None:
    """Moves a file or folder to `target`; a folder that is there goes into `aside` first, where it stays.

    No system swaps two folders in one step: a kill between the two renames leaves the old one whole, in `aside`.
    """
    if target.is_dir():
        old = aside / target.name
        shutil.rmtree(old, ignore_errors=True)
        aside.mkdir(exist_ok=True)
        os.replace(target, old)
    os.replace(fresh, target)


def load_pipeline(folder: Path = MODEL_FOLDER) -> StableDiffusionPipeline:
    """The bundled pipeline in float32, without network."""
    pipeline = _pipeline_class().from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _pipeline_class() -> Any:
    """StableDiffusionPipeline; its first import warns of torchvision, which nothing here needs."""
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    try:
        return diffusers.StableDiffusionPipeline
    finally:
        transformers.utils.logging.set_verbosity(level)


@torch.no_grad()
def generate(
    pipeline: StableDiffusionPipeline,
    captions: list[str],
    seed: int,
    size: int | None = None,
    batch: int = 32,
    guidance: float = SAMPLING_GUIDANCE,
) -> Tensor:
    """Pictures [captions, 3, size, size] in 0..1 by DDIM; picture i depends on its caption and seed + i alone.

    Args:
        size: side in pixels (the model's own by default).
    """
    parts = []
    for first in range(0, len(captions), batch):
        texts = captions[first : first + batch]
        rngs = [torch.Generator().manual_seed(seed + first + i) for i in range(len(texts))]
        made = pipeline(
            texts,
            height=size,
            width=size,
            num_inference_steps=SAMPLING_STEPS,
            guidance_scale=guidance,
            generator=rngs,
            output_type="pt",
        )
        parts.append(made.images.float().cpu())
    return torch.cat(parts)


def sheet(pictures: Tensor, columns: int) -> Image.Image:
    """A contact sheet of pictures [count, 3, height, width] in 0..1."""
    rows = [torch.cat(list(row), dim=2) for row in pictures.split(columns)]
    whole = torch.cat([row for row in rows if row.shape == rows[0].shape], dim=1)
    return Image.fromarray((whole.clamp(0, 1).permute(1, 2, 0).numpy() * 255).round().astype(np.uint8))

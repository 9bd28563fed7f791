"""A ControlNet for the bundled denoiser: pictures of depth tell it the shape that it is to paint.

Only the ControlNet is trained, as a copy of the denoiser's first half whose answers begin at zero.

Source: Zhang et al., Adding Conditional Control to Text-to-Image Diffusion Models (arXiv:2302.05543).
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from toybox.backdrops import Backdrops
from toybox.buffers import View
from toybox.captions import Subject
from toybox.checkpoint import cosine_rate
from toybox.data import FreshViews, caster_of
from toybox.denoiser import (
    COARSE_PIXELS,
    FINE_PIXELS,
    Denoiser,
    DenoiserSettings,
    StepBatches,
    denoiser_losses,
)
from toybox.latents import AutoencoderKL, diffusers, encode
from toybox.learning import Learning
from toybox.networks import new_scheduler
from toybox.precision import quick_autocast

CHECKPOINT = "control.pt"
CONDITION_CHANNELS = (16, 32, 64)  # two halvings lead from pixels to latents
COPIED = ("conv_in", "time_embedding", "add_embedding", "down_blocks", "mid_block")


@dataclass(frozen=True)
class ControlSettings(DenoiserSettings):
    """How the ControlNet is trained; names as of the denoiser's own training."""

    steps: int = 2400
    coarse: float = 0.6
    coarse_batch: int = 16
    fine_batch: int = 8
    empty: float = 0.2
    ema: float = 0.997
    seed: int = 57


def new_control(unet: Any) -> Any:
    """A ControlNetModel with the weights of a denoiser's first half, which changes nothing yet.

    As `ControlNetModel.from_unet` makes it, which forgets the number of heads of the pooled text.
    """
    known = inspect.signature(diffusers.ControlNetModel.__init__).parameters
    config = {name: value for name, value in unet.config.items() if name in known}
    control = diffusers.ControlNetModel(**config, conditioning_embedding_out_channels=CONDITION_CHANNELS)
    for part in COPIED:
        getattr(control, part).load_state_dict(getattr(unet, part).state_dict())
    control.set_attn_processor(AttnProcessor())  # as of the denoiser
    return control


def depth_pictures(subjects: Sequence[Subject], views: Sequence[View], size: int) -> Tensor:
    """What ControlNets of depth are shown, [pictures, 3, size, size]: 1 / depth along the optical axis, the nearest
    point at 1; black where nothing is."""
    pictures = []
    for subject, view in zip(subjects, views, strict=True):
        depth = caster_of(subject.kind).depth(view, size)
        struck = depth > 0
        nearest = depth[struck].min(initial=np.inf)
        pictures.append(np.divide(nearest, depth, out=np.zeros_like(depth), where=struck))
    return torch.from_numpy(np.stack(pictures))[:, None].expand(-1, 3, -1, -1)


def controlled(
    denoiser: Denoiser, control: Any, pictures: Tensor, noisy: Tensor, timestep: Tensor, captions: list[str]
) -> Tensor:
    """The denoiser's raw output (v) where a ControlNet is shown pictures [batch, 3, size, size]."""
    with torch.no_grad():
        text = denoiser.embed(captions)
    shown = {"encoder_hidden_states": text, "controlnet_cond": pictures, "return_dict": False}
    down, mid = control(noisy, timestep, **shown)
    told = {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}
    return denoiser.unet(noisy, timestep, encoder_hidden_states=text, **told).sample


def train_control(
    denoiser: Denoiser, vae: AutoencoderKL, folder: Path, settings: ControlSettings
) -> tuple[Any, dict[str, Any]]:
    """Trains, or goes on training, a ControlNet in `folder`; returns the average with facts for the card."""
    torch.manual_seed(settings.seed)
    denoiser.eval().requires_grad_(False).unet.to(memory_format=torch.channels_last)
    live = new_control(denoiser.unet).to(memory_format=torch.channels_last)
    learning = Learning("control", folder / CHECKPOINT, live, settings)
    scheduler = new_scheduler()
    backdrops = {size: Backdrops(vae, size) for size in (COARSE_PIXELS, FINE_PIXELS)}
    batches = StepBatches(FreshViews(), settings, 0)
    for step in learning.steps():
        rng = torch.Generator().manual_seed(settings.seed * 10**6 + step)
        batch, captions = batches[step]
        size = batch.pictures.shape[-1]
        pictures = depth_pictures(batch.subjects, batch.views, size)

        def answer(*asked: Any, pictures: Tensor = pictures) -> Tensor:
            return controlled(denoiser, live, pictures, *asked)

        with quick_autocast("cpu"):
            with torch.no_grad():
                latents = encode(vae, batch.pictures, rng).float()
            shifts = backdrops[size].shifts(batch)
            errors, share = denoiser_losses(answer, latents, captions, scheduler, rng, settings.noise_power, shifts)
        rate = cosine_rate(step, settings.steps, settings.rate, warmup=100)
        learning.learn(step, rate, learning.levels.balanced(errors, share), errors)
    return learning.result()

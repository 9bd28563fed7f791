"""Pictures of the multi-view denoiser: its mean picture of a caption from a camera, and pictures drawn step by step."""

from collections.abc import Sequence

import torch
from torch import Tensor

from toybox.buffers import View
from toybox.latents import AutoencoderKL, decode
from toybox.networks import DOWNSCALE, LATENT_CHANNELS, new_scheduler
from toybox.told_cameras import tell
from toybox.view_denoiser import ViewDenoiser


@torch.no_grad()
def mean_pictures(
    denoiser: ViewDenoiser, vae: AutoencoderKL, captions: list[str], views: Sequence[View], size: int, seed: int = 0
) -> Tensor:
    """What the denoiser expects to see before anything is to be seen: one call in pure noise, decoded.

    Args:
        captions, views: one each per picture.
        size: side of the latents.

    Returns:
        [pictures, 3, height, width], about 0..1.
    """
    scheduler = new_scheduler()
    last = torch.full((len(captions),), scheduler.config.num_train_timesteps - 1)
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(captions), LATENT_CHANNELS, size, size, generator=rng)
    # at the last timestep no signal is left, and v = alpha eps - sigma z = -z
    return decode(vae, -denoiser(noise, last, captions, tell(views, size)).float())

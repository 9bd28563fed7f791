"""Pictures of the multi-view denoiser: its mean picture of a caption from a camera, and views drawn together."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from toybox.buffers import View
from toybox.latents import AutoencoderKL, decode
from toybox.networks import LATENT_CHANNELS, new_scheduler
from toybox.told_cameras import ToldCameras, tell
from toybox.view_denoiser import ViewDenoiser

SAMPLING_STEPS = 25
SAMPLING_GUIDANCE = 4.0


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


@torch.no_grad()
def drawn_views(
    denoiser: Callable[..., Tensor],
    vae: AutoencoderKL,
    captions: list[str],
    views: Sequence[Sequence[View]],
    size: int,
    seeds: Sequence[int],
    guidance: float = SAMPLING_GUIDANCE,
) -> Tensor:
    """Pictures of objects from several cameras, drawn together by DDIM; each object depends on its own seed alone.

    The unconditional answer is the one for an empty text and the same cameras.

    Args:
        denoiser: a `ViewDenoiser`, or what calls one.
        captions, seeds: one an object.
        views: as many of each object as of the others.
        size: side of the latents.

    Returns:
        [objects, views, 3, height, width] in 0..1.
    """
    n_views = len(views[0])
    scheduler = new_scheduler()
    scheduler.set_timesteps(SAMPLING_STEPS)
    shape = (n_views, LATENT_CHANNELS, size, size)
    latents = torch.cat([torch.randn(shape, generator=torch.Generator().manual_seed(seed)) for seed in seeds])
    told = tell([view for seen in views for view in seen], size)
    both = ToldCameras(told.rays.repeat(2, 1, 1, 1), told.poses.repeat(2, 1))
    texts = [""] * len(latents) + [text for text in captions for _ in range(n_views)]
    for timestep in scheduler.timesteps:
        times = timestep.expand(2 * len(latents))
        without, given = denoiser(latents.repeat(2, 1, 1, 1), times, texts, both, n_views).float().chunk(2)
        latents = scheduler.step(without + guidance * (given - without), timestep, latents).prev_sample
    return decode(vae, latents).clamp(0, 1).unflatten(0, (-1, n_views))

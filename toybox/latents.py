"""Pictures to latents and back, by any AutoencoderKL whose latents are normalised (scaling factor 1)."""

from typing import Any

import diffusers as _diffusers
import torch
from torch import Tensor

# What diffusers declares of its own classes misleads type checkers (configs as dicts, outputs as tuples): they are told
# less. The names below say which class is meant.
diffusers: Any = _diffusers
AutoencoderKL = Any
DDIMScheduler = Any
StableDiffusionPipeline = Any


def encode(vae: AutoencoderKL, pictures: Tensor, rng: torch.Generator | None = None) -> Tensor:
    """Pictures [batch, 3, height, width] in 0..1 to latents: the mean, or with `rng` a draw."""
    posterior = vae.encode(pictures * 2 - 1).latent_dist
    if rng is None:
        return posterior.mean
    return posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=rng).to(posterior.mean)


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Latents to pictures, about 0..1 (not clamped), float32."""
    return vae.decode(latents).sample.float() / 2 + 0.5

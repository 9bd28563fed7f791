"""Figures of the latents themselves: what the autoencoder keeps, alone and composed, and what the score alone draws."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from toybox.data import Batch, repaint
from toybox.latents import AutoencoderKL, StableDiffusionPipeline, decode, encode
from toybox.networks import DOWNSCALE
from toybox.world import load_world


def squared_error(made: Tensor, true: Tensor, mask: Tensor) -> float:
    """Mean squared error over masked pixels of pictures [batch, 3, height, width] in 0..1."""
    return (((made.clamp(0, 1) - true) ** 2 * mask).sum() / (mask.sum() * made.shape[1])).item()


def psnr(squared: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error between values in 0..1."""
    return -10 * math.log10(squared)


def palette() -> Tensor:
    """The world's background colours, [backgrounds, 3]."""
    return torch.tensor(list(load_world().backgrounds.values()))


def other_backgrounds(backgrounds: Tensor) -> Tensor:
    """Numbers, in the palette, of all backgrounds but a picture's own: [backgrounds - 1, batch] for [batch, 3]."""
    own = (backgrounds[:, None] - palette()).square().sum(dim=2).argmin(dim=1)
    return (own + torch.arange(1, len(palette()))[:, None]) % len(palette())


def laid_over(latents: Tensor, ground: Tensor, coverage: Tensor) -> Tensor:
    """Latents of objects over those of backgrounds, both [batch, 4, size, size], as volume rendering composes them.

    Args:
        coverage: share of each pixel that the object covers, [batch, 1, DOWNSCALE x size, DOWNSCALE x size].
    """
    cover = F.avg_pool2d(coverage, DOWNSCALE)
    return cover * latents + (1 - cover) * ground


@torch.no_grad()
def judge_autoencoder(vae: AutoencoderKL, batch: Batch) -> dict[str, float]:
    """PSNR on object pixels: plain, and of object latents laid over the latents of each other flat background."""
    mask = (batch.coverage > 0.5).float()
    ours = encode(vae, batch.pictures)
    flat = encode(vae, palette()[:, :, None, None].expand(-1, -1, *batch.pictures.shape[-2:]))
    errors = []
    for other in other_backgrounds(batch.backgrounds):
        true = repaint(batch, palette()[other])
        errors.append(squared_error(decode(vae, laid_over(ours, flat[other], batch.coverage)), true, mask))
    plain = squared_error(decode(vae, ours), batch.pictures, mask)
    return {
        "object_psnr_db": round(psnr(plain), 2),
        "composited_psnr_db": round(psnr(sum(errors) / len(errors)), 2),
    }


def distil_pictures(
    pipeline: StableDiffusionPipeline, captions: list[str], steps: int, seed: int, guidance: float = 10.0
) -> Tensor:
    """Score distillation on free latents from noise: the score alone, without any 3D.

    Follows METHOD.md section 2: g = sigma^2 (eps_hat - eps), t from U[0.02, ceiling], ceiling 0.98 -> 0.5.

    Returns:
        Decoded pictures [captions, 3, height, width] in 0..1.
    """
    rng = torch.Generator().manual_seed(seed)
    size, total = pipeline.unet.config.sample_size, pipeline.scheduler.config.num_train_timesteps
    text, empty = pipeline.encode_prompt(captions, "cpu", 1, True)
    both = torch.cat([empty, text])
    latents = torch.randn(len(captions), pipeline.unet.config.in_channels, size, size, generator=rng)
    latents.requires_grad_(True)
    optimiser = torch.optim.Adam([latents], lr=0.1, betas=(0.9, 0.99))
    signal = pipeline.scheduler.alphas_cumprod
    for step in tqdm(range(steps), desc="score distillation on free latents", unit="step", mininterval=5):
        ceiling = 0.98 + (0.5 - 0.98) * min(1.0, step / (0.7 * steps))
        share = 0.02 + (ceiling - 0.02) * torch.rand(len(captions), generator=rng)
        timestep = (share * total).long()
        noise = torch.randn(latents.shape, generator=rng)
        alpha, sigma = (part[timestep, None, None, None].sqrt() for part in (signal, 1 - signal))
        noisy = alpha * latents.detach() + sigma * noise
        with torch.no_grad():
            velocity = pipeline.unet(noisy.repeat(2, 1, 1, 1), timestep.repeat(2), encoder_hidden_states=both).sample
        without, given = (alpha * part + sigma * noisy for part in velocity.chunk(2))
        gradient = sigma**2 * (without + guidance * (given - without) - noise)
        optimiser.zero_grad()
        latents.grad = gradient
        optimiser.step()
    with torch.no_grad():
        return decode(pipeline.vae, latents).clamp(0, 1)

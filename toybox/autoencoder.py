"""Stage one: a VAE that is fit for volume rendering, where latents of an object are laid over those of a background."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toybox.area_mean import area_means
from toybox.checkpoint import Clock, cosine_rate, load_state, save_state, settings_since, steps
from toybox.data import Batch, BufferStore, repaint
from toybox.latents import AutoencoderKL
from toybox.networks import DOWNSCALE, new_vae
from toybox.precision import quick_autocast
from toybox.world import load_world


@dataclass(frozen=True)
class AutoencoderSettings:
    """How the autoencoder is trained.

    Attributes:
        steps: optimiser steps.
        batch: pictures a step, painted on one background; half of them on a second one too.
        fine_from: share of the steps after which whole 128-pixel pictures replace 64-pixel ones.
        exact_from: share of the steps after which float32 replaces bfloat16.
        kl, gradient, agreement: weights beside L1 + MSE = 1.
        anchor: weight of "latents are mean RGB and slope", where they start (area_mean.py): composites of latents then
            stay close to composites of pictures.
        noise: strength of the decoder's input noise, in standard deviations of the latents.
    """

    steps: int = 1100
    batch: int = 16
    rate: float = 6e-4
    fine_from: float = 0.75
    exact_from: float = 0.9
    kl: float = 1e-6
    gradient: float = 0.5
    agreement: float = 0.1
    anchor: float = 0.05
    noise: float = 0.07
    seed: int = 11
    save_every: int = 100


def picture_loss(made: Tensor, true: Tensor, gradient: float) -> Tensor:
    """L1 + MSE + `gradient` x L1 of the horizontal and vertical differences (edges count, absolute colour too)."""
    across = F.l1_loss(made.diff(dim=-1), true.diff(dim=-1)) + F.l1_loss(made.diff(dim=-2), true.diff(dim=-2))
    return F.l1_loss(made, true) + F.mse_loss(made, true) + gradient * across


def autoencoder_loss(vae: AutoencoderKL, batch: Batch, settings: AutoencoderSettings, rng: torch.Generator) -> Tensor:
    """Reconstruction, composition, agreement and anchor of one batch.

    The second half of the batch is decoded from composites: m z(object on A) + (1 - m) z(flat B), which must show the
    object on B. Cells wholly covered by the object must have the same latents on A and on B.
    """
    half = len(batch.pictures) // 2
    device = batch.pictures.device
    palette = torch.tensor(list(load_world().backgrounds.values()))
    second = palette[torch.randint(len(palette), (half,), generator=rng)].to(device)
    on_second = repaint(batch.rows(slice(half, None)), second)
    flat = second[:, :, None, None].expand_as(on_second)
    seen = torch.cat([batch.pictures, on_second, flat]) * 2 - 1
    posterior = vae.encode(seen).latent_dist
    spread = posterior.mean.detach().std(dim=(0, 2, 3), keepdim=True)
    latents = posterior.mean + posterior.std * torch.randn(posterior.mean.shape, generator=rng).to(device)
    first, other, ground = latents[: 2 * half], posterior.mean[2 * half : 3 * half], latents[3 * half :]
    covered = F.avg_pool2d(batch.coverage[half:], DOWNSCALE)
    mixed = covered * first[half:] + (1 - covered) * ground
    decoder_in = torch.cat([first[:half], mixed])
    noise = torch.randn(decoder_in.shape, generator=rng).to(device)
    decoder_in = decoder_in + settings.noise * spread * noise
    true = torch.cat([batch.pictures[:half], on_second])
    loss = picture_loss(vae.decode(decoder_in).sample.float(), true * 2 - 1, settings.gradient)
    whole = (covered > 0.999).float()
    apart = ((posterior.mean[half : 2 * half] - other) / spread).square() * whole
    agreement = apart.sum() / (whole.sum() * apart.shape[1]).clamp(min=1)
    anchor = F.mse_loss(posterior.mean.float(), area_means(seen, DOWNSCALE))
    return loss + settings.agreement * agreement + settings.anchor * anchor + settings.kl * posterior.kl().mean()


def train_autoencoder(
    store: BufferStore,
    folder: Path,
    settings: AutoencoderSettings,
    device: str = "cpu",
    show: Callable[[AutoencoderKL, int], None] | None = None,
) -> tuple[AutoencoderKL, dict]:
    """Trains, or goes on training, the autoencoder in `folder`; returns it folded, with facts for the model card."""
    torch.manual_seed(settings.seed)
    vae = new_vae().to(device, memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(vae.parameters(), lr=settings.rate, weight_decay=1e-4, betas=(0.9, 0.99))
    saved = load_state(folder / "vae.pt")
    history = settings_since(saved, asdict(settings))
    first, losses, clock = 0, [], Clock()
    if saved:
        vae.load_state_dict(saved["vae"])
        optimiser.load_state_dict(saved["optimiser"])
        first, losses, clock = saved["step"], saved["losses"], Clock(saved["seconds"])
    for step, bar in steps("vae", first, settings.steps):
        fine, exact = (step >= share * settings.steps for share in (settings.fine_from, settings.exact_from))
        size, count = (128, settings.batch // 2) if fine else (64, settings.batch)
        batch = store.draw(np.random.default_rng((settings.seed, step)), count, size).to(device)
        for group in optimiser.param_groups:
            group["lr"] = cosine_rate(step, settings.steps, settings.rate, warmup=100)
        rng = torch.Generator().manual_seed(settings.seed * 10**6 + step)
        with quick_autocast(device, exact):
            loss = autoencoder_loss(vae, batch, settings, rng)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{np.mean(losses[-50:]):.4f}", refresh=False)
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            state = {"vae": vae.state_dict(), "optimiser": optimiser.state_dict(), "step": step + 1}
            save_state(folder / "vae.pt", {**state, "losses": losses, "seconds": clock.seconds, "history": history})
            if show and (step + 1) % (5 * settings.save_every) == 0:
                show(vae, step + 1)
    vae.eval().requires_grad_(False)
    fold_normalisation(vae, store.draw(np.random.default_rng((settings.seed, 10**9)), 256, 128).to(device).pictures)
    return vae, {
        "steps": settings.steps,
        "history": history,
        "seconds": clock.seconds,
        "loss": float(np.mean(losses[-100:])),
    }


@torch.no_grad()
def fold_normalisation(vae: AutoencoderKL, pictures: Tensor) -> None:
    """Folds each latent channel's mean and std into `quant_conv` and `post_quant_conv`: exact, scaling_factor stays 1.

    Args:
        pictures: [batch, 3, height, width] in 0..1; over them the latents then have mean 0 and std 1.
    """
    means = torch.cat([vae.encode(part * 2 - 1).latent_dist.mean for part in pictures.split(32)])
    mean, std = means.mean(dim=(0, 2, 3)), means.std(dim=(0, 2, 3))
    count = len(mean)
    quant, post = vae.quant_conv, vae.post_quant_conv
    quant.weight[:count] /= std[:, None, None, None]
    quant.bias[:count] = (quant.bias[:count] - mean) / std
    quant.bias[count:] -= 2 * std.log()  # the other half of the moments is the log of the variance
    post.bias += (post.weight[:, :, 0, 0] * mean).sum(dim=1)
    post.weight *= std[None, :, None, None]

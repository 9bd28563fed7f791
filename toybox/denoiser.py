"""Stage two: the text encoder and the denoising UNet, trained jointly on the frozen autoencoder's latents."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import CLIPTextModel, CLIPTokenizer

from toybox.backdrops import Backdrops, expected_shift
from toybox.checkpoint import cosine_rate
from toybox.data import Batch, BufferStore, ViewSource
from toybox.latents import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, encode
from toybox.learning import Learning
from toybox.networks import new_scheduler, new_text_encoder, new_unet
from toybox.precision import quick_autocast
from toybox.tokenizer import kept_tokenizer
from toybox.world import load_world

CHECKPOINT = "denoiser.pt"
COARSE_PIXELS, FINE_PIXELS = 64, 128  # sides of the pictures, and four times those of their latents


@dataclass(frozen=True)
class DenoiserSettings:
    """How the denoiser is trained.

    Attributes:
        steps: optimiser steps; the first `coarse` share of them sees 64-pixel pictures (16x16 latents), the rest
            128-pixel ones (32x32 latents).
        coarse_batch, fine_batch: pictures a step.
        empty, unplaced: shares of the captions that are empty, or name no view.
        noise_power: timesteps are drawn as this power of a uniform number: below 1 more of them in strong noise.
            Outline and parts of an object are decided in the middle, which `LossLevels` keeps from being drowned out.
        ema: highest decay of the average of the weights, which is what ships.
    """

    steps: int = 3400
    coarse: float = 0.74
    coarse_batch: int = 64
    fine_batch: int = 32
    rate: float = 1e-3
    empty: float = 0.1
    unplaced: float = 0.15
    noise_power: float = 0.7
    ema: float = 0.9985
    seed: int = 23
    save_every: int = 100


class Denoiser(nn.Module):
    """Text encoder and UNet as one module, so that one optimiser, one average and one state hold both."""

    def __init__(self, tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel | None = None, unet: Any = None) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.text_encoder: CLIPTextModel = text_encoder or new_text_encoder(tokenizer)
        self.unet = unet or new_unet()
        self.unet.set_attn_processor(
            AttnProcessor()
        )  # heads this narrow train 1.5 times faster without fused attention

    @classmethod
    def of(cls, pipeline: StableDiffusionPipeline) -> "Denoiser":
        """Copies of a pipeline's text encoder and UNet, with its tokenizer."""
        return cls(pipeline.tokenizer, copy.deepcopy(pipeline.text_encoder), copy.deepcopy(pipeline.unet))

    def embed(self, captions: list[str]) -> Tensor:
        """Text embeddings [batch, tokens, width], as StableDiffusionPipeline computes them."""
        ids = self.tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        return self.text_encoder(ids.to(self.unet.device))[0]

    def forward(self, noisy: Tensor, timestep: Tensor, captions: list[str]) -> Tensor:
        """The raw output (v) for noisy latents [batch, 4, size, size] at these timesteps [batch]."""
        return self.unet(noisy, timestep, encoder_hidden_states=self.embed(captions)).sample


class StepBatches(Dataset):
    """The batch that belongs to each step, with its captions: the same whoever draws it, and whenever.

    Args:
        first: the step that index 0 stands for.
    """

    def __init__(self, store: ViewSource, settings: DenoiserSettings, first: int) -> None:
        self.store = store
        self.settings = settings
        self.first = first

    def __len__(self) -> int:
        """Steps that are left."""
        return max(0, self.settings.steps - self.first)

    def __getitem__(self, index: int) -> tuple[Batch, list[str]]:
        """Pictures and captions of step `first + index`."""
        settings, step = self.settings, self.first + index
        rng = np.random.default_rng((settings.seed, step))
        fine = step >= settings.coarse * settings.steps
        count, size = (settings.fine_batch, FINE_PIXELS) if fine else (settings.coarse_batch, COARSE_PIXELS)
        batch = self.store.draw(rng, count, size)
        return batch, captions_of(batch, settings, rng)


def captions_of(batch: Batch, settings: DenoiserSettings, rng: np.random.Generator) -> list[str]:
    """One caption per picture: mostly with the view's word, some without, some empty."""
    texts = []
    for subject, view in zip(batch.subjects, batch.views, strict=True):
        draw = rng.random()
        word = load_world().view_word(view.elevation_deg, view.azimuth_deg)
        placed = None if draw < settings.empty + settings.unplaced else word
        texts.append("" if draw < settings.empty else subject.caption(placed))
    return texts


def denoiser_losses(
    denoiser: Callable[[Tensor, Tensor, list[str]], Tensor],
    latents: Tensor,
    captions: list[str],
    scheduler: DDIMScheduler,
    rng: torch.Generator,
    noise_power: float = 1.0,
    shifts: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Squared errors of the predicted velocity v = alpha eps - sigma z (arXiv:2202.00512), one t per picture.

    Args:
        denoiser: answers noisy latents at timesteps with captions; a Denoiser, or one with something in front.
        shifts: what other backgrounds would add to the latents (`Backdrops.shifts`); z is then its mean over them.

    Returns:
        Mean squared error of each picture [batch], and its timestep's share of all timesteps, in [0, 1) [batch].
    """
    total = scheduler.config.num_train_timesteps
    # stratified over the batch: the same expectation with less noise from the draw of t
    strata = (torch.arange(len(latents)) + torch.rand(len(latents), generator=rng)) / len(latents)
    timestep = (strata**noise_power * total).long().clamp(max=total - 1)
    noise = torch.randn(latents.shape, generator=rng).to(latents)
    timestep = timestep.to(latents.device)
    noisy = scheduler.add_noise(latents, noise, timestep)
    velocity = scheduler.get_velocity(latents, noise, timestep)
    if shifts is not None:
        signal = scheduler.alphas_cumprod.to(latents.device)[timestep]
        alpha, sigma = signal.sqrt(), (1 - signal).sqrt()
        # v = (alpha z_t - z) / sigma
        velocity = velocity - expected_shift(shifts, noise, alpha, sigma) / sigma[:, None, None, None]
    errors = (denoiser(noisy, timestep, captions).float() - velocity).square()
    return errors.flatten(1).mean(dim=1), timestep / total


def train_denoiser(
    store: BufferStore,
    vae: AutoencoderKL,
    folder: Path,
    settings: DenoiserSettings,
    device: str = "cpu",
    show: Callable[[Denoiser, int], None] | None = None,
    start: Denoiser | None = None,
) -> tuple[Denoiser, dict]:
    """Trains, or goes on training, the denoiser in `folder`; returns the average with facts for the model card.

    Args:
        start: its first weights, where they are not random, which are trained further in place; a checkpoint in
            `folder` goes before them.
    """
    torch.manual_seed(settings.seed)
    tokenizer = kept_tokenizer(folder / "tokenizer", start.tokenizer if start else None)
    live = start or Denoiser(tokenizer)
    live.unet.to(memory_format=torch.channels_last)
    learning = Learning("denoiser", folder / CHECKPOINT, live, settings, device)
    vae = vae.to(device, memory_format=torch.channels_last)
    scheduler = new_scheduler()
    backdrops = {size: Backdrops(vae, size) for size in (COARSE_PIXELS, FINE_PIXELS)}
    batches = batch_loader(StepBatches(store, settings, learning.first))
    for step, (batch, captions) in zip(learning.steps(), batches, strict=True):
        rng = torch.Generator().manual_seed(settings.seed * 10**6 + step)
        moved = batch.to(device)
        shifts = backdrops[moved.pictures.shape[-1]].shifts(moved)
        with quick_autocast(live.unet.device.type):
            with torch.no_grad():
                latents = encode(vae, moved.pictures, rng).float()
            errors, share = denoiser_losses(live, latents, captions, scheduler, rng, settings.noise_power, shifts)
        rate = cosine_rate(step, settings.steps, settings.rate, warmup=100)
        kept = learning.learn(step, rate, learning.levels.balanced(errors, share), errors)
        if kept and show and (step + 1) % (5 * settings.save_every) == 0:
            show(learning.average, step + 1)
    return learning.result()


def batch_loader(batches: StepBatches) -> DataLoader:
    """Batches one after the other, drawn ahead by another process where there are enough of them to pay for its start.

    That saves a fifth of a step on two cores, more where the disk is slow.
    """
    if len(batches) < 100:
        return DataLoader(batches, batch_size=None)
    # spawned: a fork of a process that has threads may hang
    return DataLoader(batches, batch_size=None, num_workers=1, prefetch_factor=4, multiprocessing_context="spawn")

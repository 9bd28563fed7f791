"""Trains the multi-view denoiser: first the mean picture from every side, then all levels of noise and four views."""

from collections.abc import Callable
from pathlib import Path

import torch

from toybox.backdrops import Backdrops
from toybox.latents import AutoencoderKL
from toybox.learning import Learning
from toybox.networks import DOWNSCALE, new_scheduler
from toybox.precision import quick_autocast
from toybox.view_denoiser import ViewDenoiser
from toybox.view_lessons import lesson
from toybox.view_plan import COARSE, FINE, ViewSettings, ViewSupply

CHECKPOINT = "multiview.pt"


def train_views(
    start: ViewDenoiser,
    vae: AutoencoderKL,
    folder: Path,
    settings: ViewSettings,
    show: Callable[[ViewDenoiser, int], None] | None = None,
    compiled: bool = False,
) -> tuple[ViewDenoiser, dict]:
    """Trains, or goes on training, the multi-view denoiser in `folder`; returns the average with facts for the card.

    Args:
        start: its first weights, trained further in place; a checkpoint in `folder` goes before them.
        show: told the average every `save_every` steps.
        compiled: compiles the UNet; a step then takes 0.7 of the time on one AVX2 core, after minutes of compiling.
    """
    start.unet.to(memory_format=torch.channels_last)
    learning = Learning("multi-view", folder / CHECKPOINT, start, settings)
    if compiled:
        start.unet.compile()
    supply = ViewSupply(folder, vae, settings)
    scheduler = new_scheduler()
    backdrops = {size: Backdrops(vae, size * DOWNSCALE) for size in (COARSE, FINE)}
    for step in learning.steps():
        batch = supply.at(step)
        rng = torch.Generator().manual_seed(settings.seed * 10**7 + 2 * step + 1)
        share = settings.shares_at(step, len(batch.subjects), rng)
        mean_only = step < settings.mean_steps
        drops = (0.0, 0.0) if mean_only else (settings.empty, settings.untold)
        task = lesson(batch, share, backdrops[settings.size_at(step)], scheduler, rng, *drops)
        with quick_autocast("cpu"):
            errors = task.errors(start)
        loss = errors.mean() if mean_only else learning.levels.balanced(errors, task.share)
        since = settings.since_fine(step)
        if learning.learn(step, settings.rate_at(step), loss, errors, age=since if since >= 0 else step) and show:
            show(learning.average, step + 1)
    return learning.result()

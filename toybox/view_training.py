"""Trains the multi-view denoiser: first the mean picture from every side, then all levels of noise and four views."""

import copy
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from toybox.backdrops import Backdrops
from toybox.checkpoint import load_state, save_state, settings_since, stage_facts, steps
from toybox.denoiser import average_into, go_on_from
from toybox.latents import AutoencoderKL
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
    live, average = start, copy.deepcopy(start)
    live.unet.to(memory_format=torch.channels_last)
    live.train()
    if compiled:
        live.unet.compile()
    average.eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(live.parameters(), lr=settings.rate, weight_decay=1e-2, betas=(0.9, 0.99))
    saved = load_state(folder / CHECKPOINT)
    history = settings_since(saved, asdict(settings))
    first, losses, clock, levels = go_on_from(saved, live, average, optimiser)
    supply = ViewSupply(folder, vae, settings)
    scheduler = new_scheduler()
    backdrops = {size: Backdrops(vae, size * DOWNSCALE) for size in (COARSE, FINE)}
    for step, bar in steps("multi-view", first, settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = settings.rate_at(step)
        batch = supply.at(step)
        rng = torch.Generator().manual_seed(settings.seed * 10**7 + 2 * step + 1)
        share = settings.shares_at(step, len(batch.subjects), rng)
        mean_only = step < settings.mean_steps
        drops = (0.0, 0.0) if mean_only else (settings.empty, settings.untold)
        task = lesson(batch, share, backdrops[settings.size_at(step)], scheduler, rng, *drops)
        with quick_autocast("cpu"):
            errors = task.errors(live)
        optimiser.zero_grad()
        (errors.mean() if mean_only else levels.balanced(errors, task.share)).backward()
        nn.utils.clip_grad_norm_(live.parameters(), 1.0)
        optimiser.step()
        losses.append(errors.mean().item())
        since = settings.since_fine(step)
        average_into(average, live, since if since >= 0 else step, settings.ema)
        bar.set_postfix(loss=f"{np.mean(losses[-50:]):.4f}", refresh=False)
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            state: dict[str, Any] = {"live": live.state_dict(), "average": average.state_dict()}
            state |= {"optimiser": optimiser.state_dict(), "levels": levels.expected, "history": history}
            state |= {"step": step + 1, "losses": losses, "seconds": clock.seconds}
            keep_state(folder / CHECKPOINT, state)
            if show:
                show(average, step + 1)
    return average, stage_facts(max(first, settings.steps), history, clock.seconds, losses)


def keep_state(path: Path, state: dict[str, Any]) -> None:
    """Saves `state`; the one before it stays beside it as `.before`."""
    if path.exists():
        before = path.with_suffix(".before")
        before.unlink(missing_ok=True)
        os.link(path, before)
    save_state(path, state)

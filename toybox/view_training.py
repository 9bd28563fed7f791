"""Trains the multi-view denoiser: first the mean picture from every side, then all levels of noise and four views."""

import copy
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toybox.backdrops import Backdrops, expected_shift
from toybox.checkpoint import Clock, load_state, save_state, settings_since, stage_facts, steps
from toybox.denoiser import average_into
from toybox.latents import AutoencoderKL, DDIMScheduler
from toybox.loss_levels import LossLevels
from toybox.networks import DOWNSCALE, new_scheduler
from toybox.precision import quick_autocast
from toybox.told_cameras import ToldCameras, tell
from toybox.view_denoiser import ViewDenoiser
from toybox.view_sets import N_VIEWS, SET_OBJECTS, ViewSet, ViewSets, joined

COARSE, FINE = 16, 32  # sides of the latents
CHECKPOINT = "multiview.pt"


@dataclass(frozen=True)
class ViewSettings:
    """How the multi-view denoiser is trained.

    In strong noise a picture is the mean of all that its caption and camera leave open: there alone the camera is
    learned at once. A thousand steps over all levels taught it none, because what the camera changes is a small share
    of the error elsewhere.

    Attributes:
        mean_steps: steps on the mean picture, single views, at `mean_rate`, timesteps in [`mean_from`, 1].
        coarse_steps, fine_steps: steps after them over all levels at 16 and 32 latent cells a side, at `rate`, every
            other one on N_VIEWS views of each object.
        coarse_batch, fine_batch: pictures a step.
        noisy, noisy_from: that share of the timesteps is drawn above `noisy_from`, the others below it.
        empty, untold: shares of the captions that are empty, of the objects whose cameras are not told.
        landing: last share of all steps, in which the rate comes down.
        first_sets, steps_a_set: sets of data at first, and steps after which one more is drawn from.
        most_sets: sets of each size.
        ema: highest decay of the average of the weights, which is what ships.
    """

    mean_steps: int = 500
    coarse_steps: int = 1800
    fine_steps: int = 600
    mean_rate: float = 1.5e-3
    rate: float = 1e-3
    mean_from: float = 0.9
    coarse_batch: int = 64
    fine_batch: int = 32
    noisy: float = 0.4
    noisy_from: float = 0.85
    empty: float = 0.1
    untold: float = 0.05
    landing: float = 0.2
    first_sets: int = 24
    steps_a_set: int = 4
    most_sets: int = 240
    ema: float = 0.9985
    seed: int = 41
    save_every: int = 100

    @property
    def steps(self) -> int:
        """In all."""
        return self.mean_steps + self.coarse_steps + self.fine_steps

    def size_at(self, step: int) -> int:
        """Side of the latents of this step."""
        return COARSE if step < self.mean_steps + self.coarse_steps else FINE

    def sets_at(self, step: int) -> int:
        """Sets of data, of this step's size, that the step draws from."""
        begun = step if self.size_at(step) == COARSE else step - self.mean_steps - self.coarse_steps
        return min(self.most_sets, self.first_sets + begun // self.steps_a_set)

    def sets_of(self, size: int) -> int:
        """Sets of this size that the whole training draws from."""
        last = self.mean_steps + self.coarse_steps if size == COARSE else self.steps
        return self.sets_at(last - 1) if last and self.size_at(last - 1) == size else 0

    def views_at(self, step: int) -> int:
        """Views of each object in this step."""
        return 1 if step < self.mean_steps or step % 2 == 0 else N_VIEWS

    def rate_at(self, step: int) -> float:
        """Learning rate: a warm-up, the mean picture's, the other levels', and in the end down to a fiftieth of it."""
        if step < self.mean_steps:
            return self.mean_rate * min(1.0, (step + 1) / 50)
        left = (self.steps - step) / (self.landing * self.steps)
        return self.rate * max(0.02, min(1.0, left))

    def shares_at(self, step: int, count: int, rng: torch.Generator) -> Tensor:
        """`count` timesteps as shares of all, in [0, 1), stratified."""
        even = (torch.arange(count) + torch.rand(count, generator=rng)) / count
        if step < self.mean_steps:
            return self.mean_from + (1 - self.mean_from) * even
        low = self.noisy_from * (even - self.noisy) / (1 - self.noisy)
        return torch.where(even < self.noisy, 1 - (1 - self.noisy_from) * even / self.noisy, low)


class ViewSupply:
    """What each step learns from: a function of the settings and the step alone.

    Args:
        folder: where the sets of views are kept.
    """

    def __init__(self, folder: Path, vae: AutoencoderKL, settings: ViewSettings) -> None:
        self._settings = settings
        self._sets = {size: ViewSets(folder, vae, size, settings.seed) for size in (COARSE, FINE)}
        self._held: dict[int, ViewSet] = {}

    def at(self, step: int) -> ViewSet:
        """The step's objects and views."""
        settings = self._settings
        size, views, n_sets = settings.size_at(step), settings.views_at(step), settings.sets_at(step)
        pool = self._pool(size, n_sets)
        rng = torch.Generator().manual_seed(settings.seed * 10**7 + 2 * step)
        count = (settings.coarse_batch if size == COARSE else settings.fine_batch) // views
        objects = torch.randint(n_sets * SET_OBJECTS, (count,), generator=rng)
        order = torch.rand(count, N_VIEWS, generator=rng).argsort(dim=1)
        return pool.chosen(objects, order[:, :views])

    def _pool(self, size: int, n_sets: int) -> ViewSet:
        held = self._held.get(size)
        first = len(held.subjects) // SET_OBJECTS if held else 0
        if first < n_sets:
            fresh = [self._sets[size].get(number) for number in range(first, n_sets)]
            self._held = {size: joined([*([held] if held else []), *fresh])}
        return self._held[size]


@dataclass(frozen=True)
class Lesson:
    """One step's pictures, ready for the denoiser: rows lie object by object.

    Attributes:
        noisy, velocity: latents with noise and what is to be answered, [objects x views, 4, size, size].
        timestep, share: of each picture, [objects x views].
        captions, told: one each per picture.
        views: pictures in a row that show one object.
    """

    noisy: Tensor
    velocity: Tensor
    timestep: Tensor
    share: Tensor
    captions: list[str]
    told: ToldCameras
    views: int

    def errors(self, denoiser: ViewDenoiser) -> Tensor:
        """Mean squared error of each picture's velocity, [objects x views]."""
        answer = denoiser(self.noisy, self.timestep, self.captions, self.told, self.views).float()
        return (answer - self.velocity).square().flatten(1).mean(dim=1)


def lesson(
    batch: ViewSet,
    share: Tensor,
    backdrops: Backdrops,
    scheduler: DDIMScheduler,
    rng: torch.Generator,
    empty: float = 0.0,
    untold: float = 0.0,
) -> Lesson:
    """Puts noise on a batch; the views of an object share timestep, caption, and whether cameras are told.

    The velocity asked for is the mean over the backgrounds that the object may have had (`expected_shift`), which the
    noise of all its views together tells.

    Args:
        share: timesteps as shares of all, [objects].
    """
    n_objects, n_views = batch.latents.shape[:2]
    total = scheduler.config.num_train_timesteps
    timestep = (share * total).long().clamp(max=total - 1)
    every = timestep.repeat_interleave(n_views)
    latents = batch.latents.flatten(0, 1)
    noise = torch.randn(latents.shape, generator=rng)
    noisy = scheduler.add_noise(latents, noise, every)
    velocity = scheduler.get_velocity(latents, noise, every)
    signal = scheduler.alphas_cumprod[timestep]
    alpha, sigma = signal.sqrt(), (1 - signal).sqrt()
    shifts = backdrops.shifts_of(batch.bare.flatten(0, 1), batch.background.repeat_interleave(n_views))
    together = shifts.unflatten(0, (n_objects, n_views)).transpose(1, 2)
    shift = expected_shift(together, noise.unflatten(0, (n_objects, n_views)), alpha, sigma)
    velocity = velocity - (shift / sigma[:, None, None, None, None]).flatten(0, 1)
    silent = torch.rand(n_objects, generator=rng) < empty
    texts = ["" if hush else s.caption() for s, hush in zip(batch.subjects, silent.tolist(), strict=True)]
    captions = [text for text in texts for _ in range(n_views)]
    keep = (torch.rand(n_objects, generator=rng) >= untold).repeat_interleave(n_views)
    told = tell(batch.views(), latents.shape[-1]).kept(keep)
    return Lesson(noisy, velocity, every, share.repeat_interleave(n_views), captions, told, n_views)


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
    first, losses, clock, levels = 0, [], Clock(), LossLevels()
    if saved:
        live.load_state_dict(saved["live"])
        average.load_state_dict(saved["average"])
        optimiser.load_state_dict(saved["optimiser"])
        first, losses, clock = saved["step"], saved["losses"], Clock(saved["seconds"])
        levels = LossLevels(saved["levels"])
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
        average_into(average, live, step, settings.ema)
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

"""What each step of the multi-view training does and learns from: functions of the settings and the step alone."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from toybox.latents import AutoencoderKL
from toybox.view_sets import N_VIEWS, SET_OBJECTS, SET_PICTURES, ViewSet, ViewSets, joined

COARSE, FINE = 16, 32  # sides of the latents


@dataclass(frozen=True)
class ViewSettings:
    """How the multi-view denoiser is trained.

    In strong noise a picture is the mean of all that its caption and camera leave open: there alone the camera is
    learned at once: widths turn with the camera after 200 steps, chairs' backs and ducks' heads after 400, every kind
    after 800. A thousand steps over all levels taught it none, because what the camera changes is a small share of the
    error elsewhere.

    Attributes:
        mean_steps: steps on the mean picture, single views, at `mean_rate`, timesteps in [`mean_from`, 1].
        coarse_steps, fine_steps: steps after them over all levels, at `rate`, every other one on N_VIEWS views of each
            object. The coarse ones see 16 latent cells a side, the fine ones 32 and 16 by turns: after 700 steps at 32
            alone, the mean pictures at 16 were named right no more (18% of them, 89% before).
        coarse_batch, fine_batch: pictures a step.
        noisy, noisy_from: that share of the timesteps is drawn above `noisy_from`, the others below it.
        empty, untold: shares of the captions that are empty, of the objects whose cameras are not told.
        warmup: steps in which the rate rises, at first.
        landing: last share of all steps, in which the rate comes down.
        first_sets, most_sets: sets of data of each size, at first and at most.
        uses: how often a picture is learnt from, on average, before there is another one. A picture costs as much to
            make as to learn from once.
        ema: highest decay of the average of the weights, which is what ships. It begins anew with the finer latents:
            the weights before them draw nothing there that a person would name.
    """

    mean_steps: int = 800
    coarse_steps: int = 3200
    fine_steps: int = 2000
    mean_rate: float = 1.5e-3
    rate: float = 1e-3
    mean_from: float = 0.9
    coarse_batch: int = 64
    fine_batch: int = 32
    noisy: float = 0.4
    noisy_from: float = 0.85
    empty: float = 0.1
    untold: float = 0.05
    warmup: int = 50
    landing: float = 0.4
    first_sets: int = 16
    most_sets: int = 240
    uses: int = 2
    ema: float = 0.9985
    seed: int = 44
    save_every: int = 100

    @property
    def steps(self) -> int:
        """Of all phases together."""
        return self.mean_steps + self.coarse_steps + self.fine_steps

    def size_at(self, step: int) -> int:
        """Side of the latents of this step."""
        return FINE if self.since_fine(step) % 4 in (0, 1) and self.since_fine(step) >= 0 else COARSE

    def since_fine(self, step: int) -> int:
        """Steps between this one and the first on fine latents; below 0 before it."""
        return step - self.mean_steps - self.coarse_steps

    def batch_of(self, size: int) -> int:
        """Pictures a step on latents of this size."""
        return self.coarse_batch if size == COARSE else self.fine_batch

    def sets_of(self, size: int, steps: int | None = None) -> int:
        """Sets of this size that the first so many steps draw from, all steps by default."""
        steps = self.steps if steps is None else steps
        turns, rest = divmod(max(0, self.since_fine(steps)), 4)
        fine = 2 * turns + min(rest, 2)
        taken = fine if size == FINE else steps - fine
        if not taken:
            return 0
        return min(self.most_sets, self.first_sets + (taken - 1) * self.batch_of(size) // (self.uses * SET_PICTURES))

    def views_at(self, step: int) -> int:
        """Views of each object in this step."""
        return 1 if step < self.mean_steps or step % 2 == 0 else N_VIEWS

    def rate_at(self, step: int) -> float:
        """Learning rate: a warm-up, the mean picture's, the other levels', and in the end down to a fiftieth of it."""
        peak = self.mean_rate if step < self.mean_steps else self.rate
        left = (self.steps - step) / (self.landing * self.steps)
        return peak * min(1.0, (step + 1) / self.warmup) * max(0.02, min(1.0, left))

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
        size, views = settings.size_at(step), settings.views_at(step)
        n_sets = settings.sets_of(size, step + 1)
        pool = self._pool(size, n_sets)
        rng = torch.Generator().manual_seed(settings.seed * 10**7 + 2 * step)
        count = settings.batch_of(size) // views
        objects = torch.randint(n_sets * SET_OBJECTS, (count,), generator=rng)
        order = torch.rand(count, N_VIEWS, generator=rng).argsort(dim=1)
        return pool.chosen(objects, order[:, :views])

    def _pool(self, size: int, n_sets: int) -> ViewSet:
        held = self._held.get(size)
        first = len(held.subjects) // SET_OBJECTS if held else 0
        if first < n_sets:
            fresh = [self._sets[size].get(number) for number in range(first, n_sets)]
            self._held[size] = joined([*([held] if held else []), *fresh])
        return self._held[size]

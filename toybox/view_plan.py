"""What each step of the multi-view training does and learns from: functions of the settings and the step alone."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from toybox.latents import AutoencoderKL
from toybox.view_sets import N_VIEWS, SET_OBJECTS, ViewSet, ViewSets, joined

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
        coarse_steps, fine_steps: steps after them over all levels at 16 and 32 latent cells a side, at `rate`, every
            other one on N_VIEWS views of each object.
        coarse_batch, fine_batch: pictures a step.
        noisy, noisy_from: that share of the timesteps is drawn above `noisy_from`, the others below it.
        empty, untold: shares of the captions that are empty, of the objects whose cameras are not told.
        landing: last share of all steps, in which the rate comes down.
        first_sets, steps_a_set: sets of data at first, and steps after which one more is drawn from.
        most_sets: sets of each size.
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
    landing: float = 0.2
    first_sets: int = 24
    steps_a_set: int = 4
    most_sets: int = 240
    ema: float = 0.9985
    seed: int = 41
    save_every: int = 100

    @property
    def steps(self) -> int:
        """Of all phases together."""
        return self.mean_steps + self.coarse_steps + self.fine_steps

    def size_at(self, step: int) -> int:
        """Side of the latents of this step."""
        return COARSE if step < self.mean_steps + self.coarse_steps else FINE

    def since_size(self, step: int) -> int:
        """Steps before this one on latents of its size."""
        return step if self.size_at(step) == COARSE else step - self.mean_steps - self.coarse_steps

    def sets_at(self, step: int) -> int:
        """Sets of data, of this step's size, that the step draws from."""
        return min(self.most_sets, self.first_sets + self.since_size(step) // self.steps_a_set)

    def sets_of(self, size: int, steps: int | None = None) -> int:
        """Sets of this size that the first so many steps draw from, all steps by default."""
        steps = self.steps if steps is None else steps
        last = min(steps, self.mean_steps + self.coarse_steps) if size == COARSE else steps
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

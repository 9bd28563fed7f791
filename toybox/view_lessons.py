"""Pictures with noise on them and what the multi-view denoiser is to answer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from toybox.backdrops import Backdrops, expected_shift
from toybox.latents import DDIMScheduler
from toybox.told_cameras import ToldCameras, tell
from toybox.view_denoiser import ViewDenoiser
from toybox.view_sets import ViewSet


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

"""What the multi-view denoiser is asked, against the same written out."""

import numpy as np
import pytest
import torch

from toybox.backdrops import Backdrops
from toybox.captions import draw_subject
from toybox.networks import DOWNSCALE, new_scheduler
from toybox.told_cameras import tell
from toybox.view_lessons import lesson
from toybox.view_sets import N_VIEWS, ViewSet


def _batch(seed: int = 0, n_objects: int = 3) -> ViewSet:
    rng = torch.Generator().manual_seed(seed)
    angles = torch.rand(n_objects, N_VIEWS, 2, generator=rng) * torch.tensor([80.0, 360.0])
    cameras = torch.cat([angles, torch.tensor([1.6, 47.0]).expand(n_objects, N_VIEWS, 2)], dim=-1)
    shape = (n_objects, N_VIEWS, 4, 8, 8)
    return ViewSet(
        latents=torch.randn(shape, generator=rng),
        bare=torch.rand((n_objects, N_VIEWS, 1, 8, 8), generator=rng),
        background=torch.randint(8, (n_objects,), generator=rng),
        cameras=cameras,
        subjects=tuple(draw_subject(np.random.default_rng(i), "chair") for i in range(n_objects)),
    )


def test_lessons_hide_one_object_behind_one_timestep_and_one_text(vae):
    batch, share = _batch(), torch.tensor([0.2, 0.5, 0.999])
    made = lesson(batch, share, Backdrops(vae, 8 * DOWNSCALE), new_scheduler(), torch.Generator().manual_seed(1))
    assert made.timestep.tolist() == [200] * 4 + [500] * 4 + [999] * 4
    assert made.captions == [subject.caption() for subject in batch.subjects for _ in range(N_VIEWS)]
    assert torch.equal(made.told.rays, tell(batch.views(), 8).rays)


def test_silence_and_hidden_cameras_are_an_objects_own(vae):
    batch, share = _batch(n_objects=200), torch.full((200,), 0.5)
    scheduler, rng = new_scheduler(), torch.Generator().manual_seed(1)
    made = lesson(batch, share, Backdrops(vae, 8 * DOWNSCALE), scheduler, rng, empty=0.3, untold=0.2)
    silent = np.array([text == "" for text in made.captions]).reshape(200, N_VIEWS)
    hidden = (made.told.poses == 0).all(dim=1).view(200, N_VIEWS)
    for rows, share_of_all in ((torch.from_numpy(silent), 0.3), (hidden, 0.2)):
        assert (rows == rows[:, :1]).all()
        assert rows[:, 0].float().mean().item() == pytest.approx(share_of_all, abs=0.1)


def test_velocity_is_the_mean_over_backgrounds_that_all_views_leave_open(vae):
    """Written out for one object: z' of every background, weighted by the likelihood of all noisy views together."""
    batch, share = _batch(n_objects=1), torch.tensor([0.6])
    backdrops, scheduler = Backdrops(vae, 8 * DOWNSCALE), new_scheduler()
    made = lesson(batch, share, backdrops, scheduler, torch.Generator().manual_seed(2))
    signal = scheduler.alphas_cumprod[600]
    alpha, sigma = signal.sqrt(), (1 - signal).sqrt()
    shifts = backdrops.shifts_of(batch.bare[0], batch.background.expand(N_VIEWS))
    possible = batch.latents[0][:, None] + shifts  # [views, backgrounds, 4, 8, 8]
    distance = (made.noisy[:, None] - alpha * possible).square().sum(dim=(0, 2, 3, 4))
    weights = (-distance / (2 * sigma**2)).softmax(dim=0)
    expected = torch.einsum("b,vbchw->vchw", weights, possible)
    truth = (alpha * made.noisy - expected) / sigma  # v = (alpha z_t - z) / sigma
    torch.testing.assert_close(made.velocity, truth, atol=1e-3, rtol=1e-3)

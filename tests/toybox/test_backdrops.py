"""What is asked of the denoiser when the background cannot be told: against Bayes' rule written out."""

import math

import numpy as np
import pytest
import torch

from toybox.backdrops import Backdrops, expected_shift
from toybox.data import BufferStore, render_buffers, repaint
from toybox.latents import encode
from toybox.pipeline import load_pipeline
from toybox.world import load_world


def test_expected_shift_is_bayes_rule():
    rng = torch.Generator().manual_seed(1)
    picture = torch.randn(3, generator=rng, dtype=torch.float64)
    others = torch.randn(4, 3, generator=rng, dtype=torch.float64)
    others[2] = picture
    noise = torch.randn(3, generator=rng, dtype=torch.float64)
    alpha, sigma = 0.6, 0.8
    noisy = alpha * picture + sigma * noise
    density = [math.exp(-sum((noisy - alpha * other).tolist()[i] ** 2 for i in range(3)) / 1.28) for other in others]
    mean = sum(p * other for p, other in zip(density, others, strict=True)) / sum(density)
    shifts = (others - picture)[None]
    made = expected_shift(shifts, noise[None], torch.tensor([alpha]).double(), torch.tensor([sigma]).double())
    torch.testing.assert_close(made[0], mean - picture)


def test_pure_noise_leaves_all_backgrounds_alike_and_faint_noise_only_the_true_one():
    shifts = torch.randn(2, 5, 4, 8, 8, generator=torch.Generator().manual_seed(2))
    shifts[:, 3] = 0
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    made = expected_shift(shifts, noise, torch.tensor([0.0, 0.999]), torch.tensor([1.0, 0.045]))
    torch.testing.assert_close(made[0], shifts[0].mean(dim=0))
    assert made[1].abs().max().item() < 1e-6


def test_expectation_stays_and_spread_falls():
    """Over pictures that are drawn with equal chances, the mean of E[z' | z_t] is the mean of z'."""
    rng = torch.Generator().manual_seed(4)
    pictures = torch.randn(3, 2, generator=rng)
    drawn = torch.randint(3, (20000,), generator=rng)
    z, noise = pictures[drawn], torch.randn(20000, 2, generator=rng)
    alpha, sigma = torch.full((20000,), 0.5), torch.full((20000,), 0.75**0.5)
    target = z + expected_shift(pictures[None] - z[:, None], noise, alpha, sigma)
    torch.testing.assert_close(target.mean(dim=0), pictures.mean(dim=0), atol=0.02, rtol=0)
    noisy = 0.5 * z + 0.75**0.5 * noise
    # the same line through (z_t, target) as through (z_t, z): what a network learns from either is the same
    for asked in (target, z):
        centred = noisy - noisy.mean(dim=0)
        slopes = torch.linalg.lstsq(centred, asked - asked.mean(dim=0)).solution
        if asked is target:
            first = slopes
    torch.testing.assert_close(first, slopes, atol=0.02, rtol=0)
    assert (target.var(dim=0) < 0.8 * z.var(dim=0)).all()


def test_shifts_are_what_repainting_adds(tmp_path):
    render_buffers(tmp_path, views_per_kind=2, size=128, seed=5)
    batch = BufferStore(tmp_path).draw(np.random.default_rng(0), 6, 128)
    vae = load_pipeline().vae
    shifts = Backdrops(vae, 128).shifts(batch)
    with torch.no_grad():
        plain = encode(vae, batch.pictures)
        for number, rgb in enumerate(load_world().backgrounds.values()):
            true = encode(vae, repaint(batch, torch.tensor(rgb).expand(6, 3))) - plain
            assert (shifts[:, number] - true).square().mean() < 0.15 * true.square().mean().clamp(min=1e-6)


@pytest.mark.parametrize("size", [64, 128])
def test_own_background_adds_nothing(tmp_path, size):
    render_buffers(tmp_path, views_per_kind=1, size=size, seed=6)
    batch = BufferStore(tmp_path).draw(np.random.default_rng(1), 4, size)
    shifts = Backdrops(load_pipeline().vae, size).shifts(batch)
    assert shifts.abs().flatten(2).amax(dim=2).min(dim=1).values.max().item() == 0

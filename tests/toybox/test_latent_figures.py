"""Figures of latents, against signals of known error and a composition written out pixel by pixel."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from toybox.data import BufferStore, render_buffers
from toybox.latent_figures import judge_autoencoder, laid_over, other_backgrounds, palette, psnr, squared_error


def test_errors_count_masked_pixels_and_three_channels_alone():
    true, mask = torch.full((2, 3, 4, 4), 0.5), torch.zeros(2, 1, 4, 4)
    made = true.clone()
    made[0, 0, 0, 0] += 0.3
    made[1, :, 3, 3] += 0.4  # outside of the mask
    mask[0, 0, 0] = 1
    assert squared_error(made, true, mask) == pytest.approx(0.09 / 12)
    assert psnr(0.01) == pytest.approx(20.0)


def test_other_backgrounds_are_all_but_the_pictures_own():
    colours = palette()
    own = torch.tensor([0, 3, 7, 3])
    others = other_backgrounds(colours[own])
    assert others.shape == (len(colours) - 1, 4)
    for column, number in enumerate(own.tolist()):
        assert sorted(others[:, column].tolist()) == [n for n in range(len(colours)) if n != number]


def test_laid_over_mixes_each_cell_by_the_share_of_its_pixels():
    coverage = torch.zeros(1, 1, 8, 8)
    coverage[0, 0, :4, :2] = 1  # half of the first cell
    coverage[0, 0, 4:, 4:] = 0.25
    latents, ground = torch.full((1, 4, 2, 2), 8.0), torch.full((1, 4, 2, 2), -8.0)
    assert laid_over(latents, ground, coverage)[0, 0].tolist() == [[0.0, -8.0], [-8.0, -4.0]]


class Averaging:
    """An autoencoder whose latents are means over cells of 4x4 pixels, so that compositions are easily written out."""

    def encode(self, pictures):
        return SimpleNamespace(latent_dist=SimpleNamespace(mean=F.avg_pool2d(pictures, 4)))

    def decode(self, latents):
        return SimpleNamespace(sample=F.interpolate(latents, scale_factor=4))


def test_composition_is_judged_against_the_picture_on_every_other_background(tmp_path):
    render_buffers(tmp_path, views_per_kind=1, size=64, seed=5)
    batch = BufferStore(tmp_path).draw(np.random.default_rng(0), 3, 64)
    found = judge_autoencoder(Averaging(), batch)
    errors, count = 0.0, 0
    for picture, cover, own in zip(
        batch.pictures.numpy(), batch.coverage[:, 0].numpy(), batch.backgrounds, strict=True
    ):
        for colour in palette():
            if torch.allclose(colour, own):
                continue
            for row, column in np.argwhere(cover > 0.5):
                cell = slice(row // 4 * 4, row // 4 * 4 + 4), slice(column // 4 * 4, column // 4 * 4 + 4)
                share = cover[cell].mean()
                for band, (there, here) in enumerate(zip(colour.tolist(), own.tolist(), strict=True)):
                    true = picture[band, row, column] + (1 - cover[row, column]) * (there - here)
                    made = share * picture[band][cell].mean() + (1 - share) * there
                    errors += (made - true) ** 2
                    count += 1
    assert found["composited_psnr_db"] == pytest.approx(-10 * math.log10(errors / count), abs=0.01)

"""Silhouettes and the hull that they carve, against solids whose outlines are known in closed form."""

import numpy as np
import pytest
import torch

from toybox.buffers import View, view_rays
from toybox.silhouettes import HULL_CELLS, overlap, silhouettes, visual_hull

RADIUS = 0.3
AROUND = [View(elevation, azimuth, 1.6, 47.0) for elevation in (-40.0, 20.0, 80.0) for azimuth in range(0, 360, 45)]


def _ball_outline(view: View, centre: tuple[float, float, float], size: int = 96) -> torch.Tensor:
    """Which rays meet a ball of RADIUS."""
    origin, directions = view_rays(view, size)
    toward = np.array(centre) - origin
    beside = (toward**2).sum() - (directions @ toward) ** 2
    return torch.from_numpy(beside < RADIUS**2)


def test_the_hull_of_a_ball_is_the_ball_where_it_lies():
    centre = (0.1, -0.05, 0.12)
    hull = visual_hull(torch.stack([_ball_outline(view, centre) for view in AROUND]), AROUND)
    side = ((torch.arange(HULL_CELLS) + 0.5) / HULL_CELLS * 2 - 1) * 0.5
    points = torch.stack(torch.meshgrid(side, side, side, indexing="ij"), dim=-1)
    ball = (points - torch.tensor(centre)).norm(dim=-1) < RADIUS
    assert overlap(hull, ball) > 0.93
    assert (hull & ball).sum() > 0.96 * ball.sum()  # a hull holds the solid, but for the outlines' pixels


def test_silhouettes_of_different_solids_carve_less():
    centre = (0.1, 0.0, 0.0)
    masks = [_ball_outline(view, centre if i % 2 else (-0.1, 0.0, 0.0)) for i, view in enumerate(AROUND)]
    whole = visual_hull(torch.stack([_ball_outline(view, centre) for view in AROUND]), AROUND)
    assert overlap(visual_hull(torch.stack(masks), AROUND), whole) < 0.6


@pytest.mark.parametrize("background", [0.3, 0.74])
def test_silhouettes_are_what_differs_from_a_flat_background(background):
    pictures = torch.full((1, 3, 16, 16), background)
    pictures[0, 1, 4:9, 5:12] += 0.2
    pictures += 0.02 * torch.rand(pictures.shape, generator=torch.Generator().manual_seed(0))
    expected = torch.zeros(1, 16, 16, dtype=torch.bool)
    expected[0, 4:9, 5:12] = True
    assert torch.equal(silhouettes(pictures), expected)


def test_overlap_by_hand():
    one, other = torch.tensor([True, True, False, False]), torch.tensor([False, True, True, False])
    assert overlap(one, other) == pytest.approx(1 / 3)
    assert overlap(one & other & ~one, torch.zeros(4, dtype=torch.bool)) == 0.0

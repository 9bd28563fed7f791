"""Measures of shape against bodies whose overlap is known in closed form."""

import math

import numpy as np
import pytest
import torch

from benchmarks.canonical import canonical_solid
from benchmarks.shape_agreement import best_alignment, best_ellipsoid, overlap_at
from benchmarks.solids import Solid, cube_points, solid_of
from toybox.scenes import build

HALF = 0.8
N = 97


def ellipsoid(axes: tuple[float, float, float], centre: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Solid:
    away = (cube_points(HALF, N) - torch.tensor(centre)) / torch.tensor(axes)
    return Solid(away.square().sum(dim=-1) <= 1, HALF)


def test_overlap_of_two_balls_is_that_of_their_lens():
    radius, distance = 0.5, 0.3
    one, other = ellipsoid((radius, radius, radius)), ellipsoid((radius, radius, radius), (distance, 0.0, 0.0))
    lens = math.pi * (4 * radius + distance) * (2 * radius - distance) ** 2 / 12
    ball = 4 / 3 * math.pi * radius**3
    assert overlap_at(one, other) == pytest.approx(lens / (2 * ball - lens), abs=0.01)


def test_search_finds_a_known_scale_and_shift():
    reference = ellipsoid((0.5, 0.3, 0.4))
    moved = ellipsoid((0.4, 0.24, 0.32), (0.06, -0.05, 0.04))  # 0.8 times as large, and shifted
    found = best_alignment(reference, moved)
    assert found.iou > 0.95
    assert found.scale == pytest.approx(1.25, abs=0.03)


def test_ellipsoid_of_an_ellipsoid_is_itself_and_a_chair_is_none():
    assert best_ellipsoid(ellipsoid((0.6, 0.3, 0.4))) > 0.97
    assert best_ellipsoid(canonical_solid("chair")) < 0.6


def test_hollow_ball_is_made_solid_and_a_mug_stays_open():
    radius = cube_points(HALF, N).norm(dim=-1).numpy()
    shell = (radius < 0.5) & (radius > 0.4)
    filled = solid_of(shell, HALF)
    assert np.array_equal(filled.occupied.numpy(), radius < 0.5)
    cup = next(part.mesh for part in build("mug").parts if part.name == "cup")
    inside = torch.from_numpy(cup.bounds.mean(axis=0)).float()[None]
    wall = inside + torch.tensor([[0.0, 0.0, float(cup.extents[2]) / 2 - 0.015]])
    mug = canonical_solid("mug")
    assert not bool(mug.contains(inside))
    assert bool(mug.contains(wall))

"""Texture coordinates that can be painted on, and those that cannot."""

import numpy as np
import pytest

from geometry.uv_check import overlapping_share, uv_fault


def grid(n: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """A flat square of 2 n^2 triangles, its coordinates the positions themselves: corners (faces 3 3) and UVs."""
    line = np.linspace(0.05, 0.95, n + 1)
    x, y = np.meshgrid(line, line)
    points = np.stack([x, y], axis=-1)
    low = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:]], axis=2).reshape(-1, 3, 2)
    high = np.stack([points[:-1, :-1], points[1:, 1:], points[1:, :-1]], axis=2).reshape(-1, 3, 2)
    uv = np.concatenate([low, high])
    return np.concatenate([uv, np.zeros((len(uv), 3, 1))], axis=-1), uv


def test_a_plain_map_is_usable_wherever_its_texture_lies():
    corners, uv = grid()
    assert uv_fault(corners, uv) is None
    assert uv_fault(corners, uv + np.array([0.4, -7.3])) is None, "beyond [0, 1] the texture repeats"
    assert uv_fault(corners, uv[:, ::-1]) is None, "mirrored"


@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_the_overlapping_share_is_that_of_the_areas(share: float):
    _, uv = grid()
    n = round(share * len(uv))
    twice = np.concatenate([uv, uv[:n]])
    area = 0.9**2 * (1 + n / len(uv))
    assert overlapping_share(twice, area) == pytest.approx(1 - 1 / (1 + n / len(uv)), abs=0.01)


def test_repetitions_lie_on_top_of_each_other():
    corners, uv = grid()
    both = np.concatenate([uv, uv + np.array([1.0, 0.0])])
    fault = uv_fault(np.concatenate([corners, corners + 1.0]), both)
    assert fault == "its texture coordinates overlap: 50% of what they cover is covered twice"
    assert uv_fault(corners[:2], 5 * uv[:2] * [6, 6]) is not None, "a tiled wall"


def test_degenerate_and_missing_numbers_are_named():
    corners, uv = grid()
    some = uv.copy()
    some[:18] = 0.5
    assert uv_fault(corners, some) == (
        "its texture coordinates are degenerate: 25% of the surface has no area in the texture"
    )
    few = uv.copy()
    few[0] = 0.5
    assert uv_fault(corners, few) is None, "one face of 72 is a loss that can be borne"
    some[3, 1, 0] = np.nan
    assert uv_fault(corners, some) == "1 faces have texture coordinates that are not finite (NaN or infinity)"


def test_a_surface_without_area_is_named_first():
    corners, uv = grid()
    corners[..., 1] = 2 * corners[..., 0]  # a line
    for places in (uv, uv * 0, uv + np.nan):
        assert uv_fault(corners, places) == "its faces have zero area"

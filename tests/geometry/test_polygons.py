"""Polygons are cut within their outlines, whatever plane they lie in."""

import numpy as np
import pytest
import trimesh

from geometry.mesh import area_vectors
from geometry.polygons import cut

#: An L of area 3, from each of whose corners some fan leaves the outline.
ELL = np.array([[0, 0], [2, 0], [2, 1], [1, 1], [1, 2], [0, 2]], float)
CHANCE = np.random.default_rng(0).random((4, 3))
TURNS = [np.eye(3), *(trimesh.transformations.random_rotation_matrix(shares)[:3, :3] for shares in CHANCE)]


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("first", range(6))
@pytest.mark.parametrize("backward", [False, True])
def test_a_concave_polygon_has_its_area_and_its_direction(turn: np.ndarray, first: int, backward: bool):
    outline = np.roll(np.pad(ELL, ((0, 0), (0, 1))), first, axis=0) @ turn.T + [3, -2, 5]
    outline = outline[::-1] if backward else outline
    triangles, polygon = cut(outline, np.arange(6), np.array([6]))
    assert polygon.tolist() == [0, 0, 0, 0]
    normals = area_vectors(outline[triangles]) / 2
    assert np.linalg.norm(normals, axis=1).sum() == pytest.approx(3.0)
    np.testing.assert_allclose(normals.sum(axis=0), turn[:, 2] * (-3 if backward else 3), atol=1e-9)


def test_polygons_keep_their_order_and_convex_ones_are_fans():
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
    arrow = np.array([[0, 0, 0], [2, 1, 0], [0, 2, 0], [1, 1, 0]], float)  # its fan from the first corner leaves it
    points = np.concatenate([square, np.roll(arrow, 1, axis=0), square[:3], np.roll(arrow, 2, axis=0), square])
    triangles, polygon = cut(points, np.arange(19), np.array([4, 4, 3, 4, 4]))
    assert polygon.tolist() == [0, 0, 1, 1, 2, 3, 3, 4, 4]
    assert triangles[[0, 1, 4, 7, 8]].tolist() == [[0, 1, 2], [0, 2, 3], [8, 9, 10], [15, 16, 17], [15, 17, 18]]
    area = np.linalg.norm(area_vectors(points[triangles]), axis=1) / 2
    assert np.bincount(polygon, weights=area).tolist() == [1, 1, 0.5, 1, 1]


def test_polygons_that_are_no_numbers_are_left_to_others():
    points = np.array([[0, 0, 0], [np.nan, 0, 0], [1, np.inf, 0], [0, 1, 0]])
    assert cut(points, np.arange(4), np.array([4]))[0].tolist() == [[0, 1, 2], [0, 2, 3]]
    assert len(cut(np.zeros((0, 3)), np.zeros(0, np.int64), np.zeros(0, np.int64))[0]) == 0

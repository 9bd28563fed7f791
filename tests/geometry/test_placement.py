"""Where a mesh stands: each setting by hand-worked numbers."""

from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from geometry.mesh import Mesh
from geometry.placement import Placement, placed

# A brick from (1, 2, 3) to (3, 3, 7); the last vertex belongs to no face.
CORNERS = np.array([[x, y, z] for x in (1, 3) for y in (2, 3) for z in (3, 7)] + [[90, 90, 90]], dtype=float)
BRICK = Mesh(CORNERS, np.array([[0, 1, 2], [1, 2, 3], [4, 5, 6], [5, 6, 7]]))


def _box(**settings: Any) -> list[list[float]]:
    vertices = placed(BRICK, Placement(**settings).matrix(BRICK)).vertices[:8]
    return np.round([vertices.min(axis=0), vertices.max(axis=0)], 6).tolist()


def test_nothing_hidden():
    assert _box(center="none", scale="none") == [[1, 2, 3], [3, 3, 7]]


def test_centred_by_its_box():
    assert _box(scale="none") == [[-1, -0.5, -2], [1, 0.5, 2]]


def test_scale_is_the_farthest_vertex():
    half = np.array([1, 0.5, 2]) * 0.7 / np.sqrt(1 + 0.25 + 4)
    np.testing.assert_allclose(_box(scale=0.7), [-half, half], atol=1e-6)
    vertices = placed(BRICK, Placement(center="none", scale=0.5).matrix(BRICK)).vertices[:8]
    assert np.linalg.norm(vertices, axis=1).max() == pytest.approx(0.5)


def test_up_axis():
    assert _box(center="none", scale="none", up_axis="z") == [[1, 3, -3], [3, 7, -2]]
    assert _box(center="none", scale="none", up_axis="x") == [[-3, 1, 3], [-2, 3, 7]]


@pytest.mark.parametrize("up", ["x", "y", "z"])
def test_no_setting_mirrors(up: Any):
    matrix = Placement(up_axis=up, rotation_deg=(20.0, -50.0, 110.0), scale=2.0).matrix(BRICK)[:3, :3]
    factor = np.cbrt(np.linalg.det(matrix))
    assert factor > 0
    np.testing.assert_allclose(matrix @ matrix.T, factor**2 * np.eye(3), atol=1e-12)
    assert Placement(up_axis=up, center="none", scale="none").matrix(BRICK)[1, "xyz".index(up)] == 1


def test_rotations_in_turn():
    def turned(*degrees: Any) -> list[float]:
        matrix = Placement(center="none", scale="none", rotation_deg=degrees).matrix(BRICK)
        return np.round(matrix[:3, :3] @ [1, 2, 3], 6).tolist()

    assert turned(90.0, 0.0, 0.0) == [1, -3, 2]
    assert turned(0.0, 90.0, 0.0) == [3, 2, -1]
    assert turned(0.0, 0.0, 90.0) == [-2, 1, 3]
    assert turned(90.0, 90.0, 0.0) == [2, -3, -1], "x first: (1, -3, 2), then y: (2, -3, -1)"


def test_nonsense_is_refused():
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match=f"^scale: above 0, or none, got {scale}$"):
            Placement(scale=scale)
    for angle in (float("nan"), float("-inf")):
        with pytest.raises(UserError, match=rf"^rotation_deg: three finite numbers, got \(0\.0, {angle}, 0\.0\)$"):
            Placement(rotation_deg=(0.0, angle, 0.0))


def test_normals_turn_with_the_mesh_and_keep_their_length():
    mesh = Mesh(np.eye(3, dtype=np.float64), np.array([[0, 1, 2]]), normals=np.full((3, 3), 3**-0.5))
    matrix = Placement(up_axis="z", rotation_deg=(20.0, 30.0, 40.0), scale=7.0).matrix(mesh)
    there = placed(mesh, matrix)
    assert there.normals is not None
    a, b, c = there.vertices
    facing = np.cross(b - a, c - a)
    np.testing.assert_allclose(there.normals, np.tile(facing / np.linalg.norm(facing), (3, 1)), atol=1e-12)
    back = placed(there, np.linalg.inv(matrix))
    np.testing.assert_allclose(back.vertices, mesh.vertices, atol=1e-12)

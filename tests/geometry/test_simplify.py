"""Fewer faces, the same body."""

from typing import Any

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry.mesh import Mesh
from geometry.simplify import simplified, unglued
from geometry.surface_pieces import is_closed


def _mesh(body: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(body.vertices, np.float32), np.asarray(body.faces))


def test_a_ball_keeps_its_volume_and_stays_closed() -> None:
    ball = trimesh.creation.icosphere(subdivisions=5)
    mesh = simplified(_mesh(ball), 1000)
    assert 900 <= len(mesh.faces) <= 1000
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.volume == pytest.approx(ball.volume, rel=0.01)


def test_flat_sides_lose_their_faces_first() -> None:
    box = trimesh.creation.box()
    for _ in range(4):
        box = box.subdivide()
    mesh = simplified(_mesh(box), 12)
    assert len(mesh.faces) == 12
    assert np.abs(mesh.vertices) == pytest.approx(np.full((8, 3), 0.5), abs=1e-5)


def test_a_mesh_within_the_budget_is_left_alone() -> None:
    mesh = _mesh(trimesh.creation.box())
    assert simplified(mesh, 12) is mesh


def test_a_budget_below_a_tetrahedron() -> None:
    with pytest.raises(UserError, match="max_faces: at least 4, got 3"):
        simplified(Mesh(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]])), 3)


def test_two_boxes_that_touch_along_an_edge_are_drawn_apart() -> None:
    one, other = trimesh.creation.box((1, 1, 1)), trimesh.creation.box((1, 1, 1))
    other.apply_translation((1, 1, 0))
    glued: Any = trimesh.util.concatenate([one, other])
    glued.merge_vertices()
    mesh = _mesh(glued)
    assert len(mesh.vertices) == 14
    assert not is_closed(mesh.faces)
    apart = unglued(mesh)
    assert len(apart.vertices) == 16
    assert is_closed(apart.faces)
    again = trimesh.Trimesh(apart.vertices, apart.faces, process=True)  # joins equal positions
    assert again.is_watertight
    assert again.volume == pytest.approx(2, abs=1e-3)
    assert np.abs(apart.corners - mesh.corners).max() < 1e-3


def test_a_mesh_without_glued_edges_is_left_as_it_is() -> None:
    mesh = _mesh(trimesh.creation.box())
    assert unglued(mesh) is mesh

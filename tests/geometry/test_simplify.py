"""Fewer faces, the same body."""

from typing import Any

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry.simplify import simplified, unglued
from geometry.surface_pieces import is_closed


def test_a_ball_keeps_its_volume_and_stays_closed() -> None:
    ball = trimesh.creation.icosphere(subdivisions=5)
    vertices, faces = simplified(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces), 1000)
    assert 900 <= len(faces) <= 1000
    solid = trimesh.Trimesh(vertices, faces, process=False)
    assert solid.is_watertight
    assert solid.is_winding_consistent
    assert solid.volume == pytest.approx(ball.volume, rel=0.01)


def test_flat_sides_lose_their_faces_first() -> None:
    box = trimesh.creation.box()
    for _ in range(4):
        box = box.subdivide()
    vertices, faces = simplified(np.asarray(box.vertices, np.float32), np.asarray(box.faces), 12)
    assert len(faces) == 12
    assert np.abs(vertices) == pytest.approx(np.full((8, 3), 0.5), abs=1e-5)


def test_a_mesh_within_the_budget_is_left_alone() -> None:
    box = trimesh.creation.box()
    vertices, faces = np.asarray(box.vertices, np.float32), np.asarray(box.faces)
    kept = simplified(vertices, faces, 12)
    assert kept[0] is vertices
    assert kept[1] is faces


def test_a_budget_below_a_tetrahedron() -> None:
    with pytest.raises(UserError, match="max_faces: at least 4, got 3"):
        simplified(np.zeros((3, 3), np.float32), np.array([[0, 1, 2]]), 3)


def test_two_boxes_that_touch_along_an_edge_are_drawn_apart() -> None:
    one, other = trimesh.creation.box((1, 1, 1)), trimesh.creation.box((1, 1, 1))
    other.apply_translation((1, 1, 0))
    glued: Any = trimesh.util.concatenate([one, other])
    glued.merge_vertices()
    vertices, faces = np.asarray(glued.vertices, np.float32), np.asarray(glued.faces)
    assert len(vertices) == 14
    assert not is_closed(faces)
    points, triangles = unglued(vertices, faces)
    assert len(points) == 16
    assert is_closed(triangles)
    again = trimesh.Trimesh(points, triangles, process=True)  # joins equal positions
    assert again.is_watertight
    assert again.volume == pytest.approx(2, abs=1e-3)
    assert np.abs(points[triangles] - vertices[faces]).max() < 1e-3


def test_a_mesh_without_glued_edges_is_left_as_it_is() -> None:
    box = trimesh.creation.box()
    vertices, faces = np.asarray(box.vertices, np.float32), np.asarray(box.faces)
    points, triangles = unglued(vertices, faces)
    assert np.array_equal(points, vertices)
    assert np.array_equal(triangles, faces)

"""Normals of smooth surfaces and at creases."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from exporters.normals import corner_normals, creased_normals, smooth_normals
from geometry.mesh import Mesh
from geometry.mesh_file import read_mesh


def test_a_box_has_flat_normals_and_a_ball_smooth_ones():
    box, ball = trimesh.creation.box(), trimesh.creation.icosphere(subdivisions=3)
    for mesh, expected in ((box, box.face_normals[:, None].repeat(3, axis=1)), (ball, ball.vertices[ball.faces])):
        normals = corner_normals(np.asarray(mesh.triangles), mesh.faces)
        assert float((normals * expected).sum(axis=-1).min()) > 0.995


def test_vertices_that_a_file_doubles_at_a_crease_keep_their_own_normals(tmp_path: Path):
    box = trimesh.creation.box()
    box.unmerge_vertices()
    box.export(tmp_path / "box.ply")
    normals = creased_normals(read_mesh(tmp_path / "box.ply"))
    np.testing.assert_allclose(np.abs(normals).max(axis=1), 1.0, atol=1e-6)


def test_normals_of_a_cube_by_hand():
    cube = trimesh.creation.box((1, 1, 1))
    normals = smooth_normals(Mesh(np.asarray(cube.vertices, np.float32), np.asarray(cube.faces)))
    # Every corner points along its diagonal where each side has the same share of area; triangulation may tilt it.
    assert ((normals * np.sign(cube.vertices)) > 0).all()
    assert np.linalg.norm(normals, axis=-1) == pytest.approx(np.ones(8), abs=1e-6)


def test_a_vertex_without_area_gets_a_unit_normal():
    point = np.zeros((3, 3), np.float32)
    assert smooth_normals(Mesh(point, np.array([[0, 1, 2]]))).tolist() == [[0, 1, 0]] * 3

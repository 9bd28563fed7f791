"""Normals at creases, doubled vertices, faces that look away."""

from pathlib import Path

import numpy as np
import trimesh

from core.part import Choice
from exporters.painted_surface import corner_normals, creased_normals, looks_away, written_mesh
from geometry.surface_file import same_positions
from geometry.textured_mesh import TexturedMesh
from systems.views import Views, spread_views
from tests.geometry.test_textured_mesh import sheet


def made(path: Path) -> TexturedMesh:
    return Choice.of(TexturedMesh, path=path, texture_size=32).build(3)


def test_a_box_has_flat_normals_and_a_ball_smooth_ones():
    box, ball = trimesh.creation.box(), trimesh.creation.icosphere(subdivisions=3)
    for mesh, expected in ((box, box.face_normals[:, None].repeat(3, axis=1)), (ball, ball.vertices[ball.faces])):
        normals = corner_normals(np.asarray(mesh.triangles), mesh.faces, np.zeros(len(mesh.faces), dtype=bool))
        assert float((normals * expected).sum(axis=-1).min()) > 0.995


def test_vertices_that_a_file_doubles_at_a_crease_keep_their_own_normals(tmp_path: Path):
    box = trimesh.creation.box()
    box.unmerge_vertices()
    box.export(tmp_path / "box.ply")
    surface = made(tmp_path / "box.ply")
    normals = creased_normals(surface.file.vertices, surface.file.faces, same_positions(surface.file))
    np.testing.assert_allclose(np.abs(normals).max(axis=1), 1.0, atol=1e-6)


def test_an_atlas_doubles_vertices_along_its_seams_alone(tmp_path: Path):
    trimesh.creation.icosphere(subdivisions=2).export(tmp_path / "ball.ply")
    surface = made(tmp_path / "ball.ply")
    written = written_mesh(surface)
    np.testing.assert_array_equal(written.vertices[written.faces], surface.file.vertices[surface.file.faces])
    np.testing.assert_array_equal(written.uv[written.faces], surface.corner_uv.numpy())
    assert 162 <= len(written.vertices) < 2 * 162
    assert written.faces[0].tolist() == [0, 1, 2], "numbered in the order of the corners"


def test_coordinates_that_a_checkpoint_brought_are_written_with_its_texture(tmp_path: Path):
    """Painted on an atlas, gone on with by a recipe that would have kept the file's own coordinates."""
    path = sheet(tmp_path / "a.obj")
    first, second = (Choice.of(TexturedMesh, path=path, texture_size=32, uv=uv).build(3) for uv in ("atlas", "auto"))
    own = written_mesh(second)
    np.testing.assert_array_equal(own.uv, second.file.uv)
    second.load_state_dict(first.state_dict())
    written = written_mesh(second)
    np.testing.assert_array_equal(written.uv[written.faces], first.corner_uv.numpy())
    assert not np.array_equal(written.uv[written.faces], own.uv[own.faces])


def test_faces_turned_over_are_found(tmp_path: Path):
    ball = trimesh.creation.icosphere(subdivisions=2)
    turned = np.arange(len(ball.faces)) % 3 == 0
    ball.faces[turned] = ball.faces[turned][:, ::-1]
    ball.export(tmp_path / "ball.ply")
    cameras = spread_views(Views(elevation_deg=(-80.0, 80.0)), 20, 64)
    np.testing.assert_array_equal(looks_away(made(tmp_path / "ball.ply"), cameras), turned)

"""Triangle meshes: what is kept of a file, and which surfaces are none."""

import logging
from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry.mesh import TriangleMesh, decimated, load_mesh
from tests.geometry.small_meshes import glb, ply, written


def _volume(mesh: TriangleMesh) -> float:
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "glb", "off"])
def test_a_box_of_every_format(kind: str, tmp_path: Path):
    box = trimesh.creation.box(extents=(1.0, 2.0, 3.0))
    path = tmp_path / f"box.{kind.upper()}"
    box.export(path, file_type=kind)
    mesh = load_mesh(path)
    assert len(mesh.faces) == 12
    assert _volume(mesh) == pytest.approx(6.0, rel=1e-5)
    assert mesh.bounds_volume()
    assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float64, np.int64)


def test_bodies_stand_where_the_scene_places_them(tmp_path: Path):
    ball = trimesh.creation.icosphere(radius=0.5)
    scene = trimesh.Scene()
    scene.add_geometry(ball, transform=trimesh.transformations.translation_matrix([2, 0, 0]))
    scene.add_geometry(ball.copy(), transform=np.diag([-1.0, 1.0, 3.0, 1.0]))  # mirrored and stretched
    scene.export(tmp_path / "two.glb")
    mesh = load_mesh(tmp_path / "two.glb")
    np.testing.assert_allclose(mesh.vertices.max(axis=0), [2.5, 0.5, 1.5], atol=1e-6)
    np.testing.assert_allclose(mesh.vertices.min(axis=0), [-0.5, -0.5, -1.5], atol=1e-6)
    assert _volume(mesh) == pytest.approx(4 * ball.volume, rel=1e-5), "the mirrored body still looks outward"


def test_equal_positions_are_merged_and_lost_faces_left_out():
    soup = TriangleMesh(
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=float),
        np.array([[0, 1, 2], [4, 3, 5], [0, 6, 1]]),
    )
    merged = soup.merged()
    assert len(merged.vertices) == 4
    assert merged.vertices[merged.faces].tolist() == soup.vertices[soup.faces[:2]].tolist()


def test_closed_means_that_every_edge_has_two_sides():
    ball = trimesh.creation.icosphere(subdivisions=1)
    mesh = TriangleMesh(ball.vertices, ball.faces.astype(np.int64))
    assert mesh.bounds_volume()
    assert not TriangleMesh(mesh.vertices, mesh.faces[1:]).bounds_volume()
    soup = TriangleMesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(mesh.faces.size).reshape(-1, 3))
    assert soup.bounds_volume(), "vertices of their own for each face change nothing"
    turned = TriangleMesh(mesh.vertices, np.concatenate([mesh.faces[:1, ::-1], mesh.faces[1:]]))
    assert not turned.bounds_volume()


def test_decimation_keeps_the_shape():
    ball = trimesh.creation.icosphere(subdivisions=5)
    mesh = TriangleMesh(ball.vertices, ball.faces.astype(np.int64))
    few = decimated(mesh, 2000)
    assert len(few.faces) <= 2000
    assert _volume(few) == pytest.approx(_volume(mesh), rel=0.01)
    assert np.abs(np.linalg.norm(few.vertices, axis=1) - 1).max() < 0.01


def test_a_large_mesh_is_decimated_with_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "ball.stl"
    trimesh.creation.icosphere(subdivisions=3).export(path)
    with caplog.at_level(logging.WARNING, "geometry.mesh"):
        mesh = load_mesh(path, most_faces=500)
    assert len(mesh.faces) <= 500
    assert caplog.messages == [f"{path}: 1,280 faces, decimated to 500"]


def test_vertices_without_a_face_are_left_out(tmp_path: Path):
    points = "nan 0 0\n0 0 0\n1 0 0\n1e30 0 0\n0 1 0"
    mesh = load_mesh(written(tmp_path, "a.ply", ply(points, "3 4 1 2")))
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert mesh.faces.tolist() == [[2, 0, 1]]


SOUND = "0 0 0\n1 0 0\n0 1 0\n0 0 1"


@pytest.mark.parametrize("kind", ["obj", "ply", "off", "glb"])
@pytest.mark.parametrize(
    ("points", "faces", "complaint"),
    [
        ("nan 0 0\n1 0 0\n0 inf 0\n0 0 1", "0 1 2", r"2 vertices are not finite \(NaN or infinity\); repair the mesh"),
        ("1 1 1\n1 1 1\n1 1 1\n5 5 5", "0 1 2", "zero extent: all of its vertices lie in one point, as float32"),
        ("0 0 0\n1e-200 0 0\n0 1e-200 0\n5 5 5", "0 1 2", "zero extent"),
        ("0 0 0\n1e-40 0 0\n0 1e-40 0\n5 5 5", "0 1 2", "zero extent"),
        ("0 0 0\n1 1 1\n3 3 3\n2 2 2", "0 1 2\n1 2 3", "zero area: its faces are lines or points; give it faces with"),
        ("0.1 0.2 0.3\n0.2 0.4 0.6\n0.3 0.6 0.9\n2 2 2", "0 1 2", "zero area"),
        (SOUND, "0 0 1\n1 2 2\n3 3 3", "zero area"),
        (SOUND, "0 0 0\n1 1 1", "zero area"),
    ],
)
def test_surfaces_that_are_none_are_told(kind: str, points: str, faces: str, complaint: str, tmp_path: Path):
    path = _made(tmp_path / f"a.{kind}", points, faces)
    with pytest.raises(UserError, match=rf"a\.{kind}: {complaint}") as caught:
        load_mesh(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["obj", "off"])
def test_coordinates_beyond_float32_are_told(kind: str, tmp_path: Path):
    path = _made(tmp_path / f"a.{kind}", "0 0 0\n1e300 0 0\n0 1e300 0", "0 1 2")
    with pytest.raises(UserError, match=r"coordinates up to 1e\+300, at most 3\.4e\+38 can be held; scale it down"):
        load_mesh(path)


def test_thin_and_small_surfaces_are_none_of_that(tmp_path: Path):
    for size in (1e-30, 1.0, 1e30):
        points = f"0 0 0\n{size} 0 0\n{size} {size * 1e-5} 0"
        assert len(load_mesh(_made(tmp_path / "a.obj", points, "0 1 2")).faces) == 1


def _made(path: Path, points: str, faces: str) -> Path:
    """A file of any kind with a line for each vertex and for each triangle, counted from 0."""
    n_points, n_faces = len(points.splitlines()), len(faces.splitlines())
    numbered = "".join(f"3 {face}\n" for face in faces.splitlines())
    corners = [[int(corner) for corner in face.split()] for face in faces.splitlines()]
    if path.suffix == ".glb":
        positions = np.array([[float(x) for x in point.split()] for point in points.splitlines()])
        return written(path.parent, path.name, glb([(positions, np.array(corners), None)]))
    text = {
        ".obj": "".join(f"v {point}\n" for point in points.splitlines())
        + "".join("f " + " ".join(str(corner + 1) for corner in face) + "\n" for face in corners),
        ".ply": ply(points, numbered.rstrip()),
        ".off": f"OFF\n{n_points} {n_faces} 0\n{points}\n{numbered}",
    }
    return written(path.parent, path.name, text[path.suffix])

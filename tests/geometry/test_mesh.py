"""Triangle meshes: what is kept of a file, and which surfaces are none."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry.bodies import encloses_volume
from geometry.mesh import Mesh, signed_volumes
from geometry.mesh_file import read_mesh
from tests.geometry.small_meshes import glb, ply, written


def _volume(mesh: Mesh) -> float:
    return float(signed_volumes(mesh.corners).sum())


def test_signed_volumes_of_a_box_and_of_its_inside_out():
    box = trimesh.creation.box(extents=(1, 2, 3))
    assert signed_volumes(np.asarray(box.triangles)).sum() == pytest.approx(6.0)
    assert signed_volumes(np.asarray(box.triangles)[:, ::-1]).sum() == pytest.approx(-6.0)


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "glb", "off"])
def test_a_box_of_every_format(kind: str, tmp_path: Path):
    box = trimesh.creation.box(extents=(1.0, 2.0, 3.0))
    path = tmp_path / f"box.{kind.upper()}"
    box.export(path, file_type=kind)
    mesh = read_mesh(path)
    assert len(mesh.faces) == 12
    assert _volume(mesh) == pytest.approx(6.0, rel=1e-5)
    assert encloses_volume(mesh)
    assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float64, np.int64)


def test_bodies_stand_where_the_scene_places_them(tmp_path: Path):
    ball = trimesh.creation.icosphere(radius=0.5)
    scene = trimesh.Scene()
    scene.add_geometry(ball, transform=trimesh.transformations.translation_matrix([2, 0, 0]))
    scene.add_geometry(ball.copy(), transform=np.diag([-1.0, 1.0, 3.0, 1.0]))  # mirrored and stretched
    scene.export(tmp_path / "two.glb")
    mesh = read_mesh(tmp_path / "two.glb")
    np.testing.assert_allclose(mesh.vertices.max(axis=0), [2.5, 0.5, 1.5], atol=1e-6)
    np.testing.assert_allclose(mesh.vertices.min(axis=0), [-0.5, -0.5, -1.5], atol=1e-6)
    assert _volume(mesh) == pytest.approx(4 * ball.volume, rel=1e-5), "the mirrored body still looks outward"


def test_equal_positions_are_merged_and_lost_faces_left_out():
    soup = Mesh(
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=float),
        np.array([[0, 1, 2], [4, 3, 5], [0, 6, 1]]),
    )
    merged = soup.merged()
    assert len(merged.vertices) == 4
    assert merged.vertices[merged.faces].tolist() == soup.vertices[soup.faces[:2]].tolist()


def test_vertices_are_chosen_with_all_that_they_have():
    box = trimesh.creation.box()
    points, normals = np.asarray(box.vertices), np.asarray(box.vertex_normals)
    uv, colours = points[:, :2].astype(np.float32), np.abs(points)
    mesh = Mesh(points, np.asarray(box.faces), normals, uv, colours=colours)
    index = np.asarray(box.faces).reshape(-1)
    soup = mesh.with_vertices(index, np.arange(36).reshape(-1, 3))
    np.testing.assert_array_equal(soup.corners, mesh.corners)
    assert soup.normals is not None
    assert soup.uv is not None
    assert soup.colours is not None
    np.testing.assert_array_equal(soup.normals, normals[index])
    np.testing.assert_array_equal(soup.uv, uv[index])
    np.testing.assert_array_equal(soup.colours, colours[index])
    assert soup.position[index[:3]].tolist() != soup.position[index[3:6]].tolist()
    np.testing.assert_array_equal(soup.position, mesh.position[index])


def test_vertices_without_a_face_are_left_out():
    mesh = Mesh(np.arange(15, dtype=np.float32).reshape(5, 3), np.array([[0, 1, 2]])).with_faces(np.array([[4, 1, 2]]))
    assert mesh.vertices.tolist() == [[3, 4, 5], [6, 7, 8], [12, 13, 14]]
    assert mesh.faces.tolist() == [[2, 0, 1]]


def test_turning_v_over_twice_brings_it_back():
    uv = np.random.default_rng(0).random((100, 2)).astype(np.float32)
    points, faces = np.zeros((100, 3)), np.zeros((1, 3), np.int64)
    once = Mesh(points, faces, uv=uv, v_down=True).uv_with(v_down=False)
    again = Mesh(points, faces, uv=once).uv_with(v_down=True)
    np.testing.assert_array_equal(again.astype(np.float32), uv)
    assert Mesh(points, faces, uv=uv).uv_with(v_down=False) is uv


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
        read_mesh(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["obj", "off"])
def test_coordinates_beyond_float32_are_told(kind: str, tmp_path: Path):
    path = _made(tmp_path / f"a.{kind}", "0 0 0\n1e300 0 0\n0 1e300 0", "0 1 2")
    with pytest.raises(UserError, match=r"coordinates up to 1e\+300, at most 3\.4e\+38 can be held; scale it down"):
        read_mesh(path)


def test_thin_and_small_surfaces_are_none_of_that(tmp_path: Path):
    for size in (1e-30, 1.0, 1e30):
        points = f"0 0 0\n{size} 0 0\n{size} {size * 1e-5} 0"
        assert len(read_mesh(_made(tmp_path / "a.obj", points, "0 1 2")).faces) == 1


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

"""Meshes as they are to be painted: nothing is left out, and what happens to them is told."""

import logging
from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry.load_surface import check_surface_file, load_surface
from geometry.source_file import BROKEN_UV, NO_UV, SOME_UV
from tests.geometry.small_meshes import FACES, POSITIONS, RAW_UV, SQUARE, glb, one_glb, ply, written

QUADS = """\
v 0 0 0
v 1 0 0
v 1 1 0
v 0 1 0
v 0 0 1
vt 0.1 0.2
vt 0.7 0.25
vt 0.8 0.9
vt 0.15 0.65
vt 1.5 -0.5
f 1/1 2/2 3/3 4/4
f 1/1 5/5 2/4
"""


def test_coordinates_are_the_worlds(tmp_path: Path):
    moved = [2.0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 5, 6, 7, 1]  # column after column
    file = load_surface(one_glb(tmp_path / "a.glb", matrix=moved))
    np.testing.assert_allclose(file.vertices, 2 * POSITIONS + [5, 6, 7], rtol=1e-6)


def test_polygons_of_obj_become_fans_and_that_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "a.obj").write_text(QUADS)
    with caplog.at_level(logging.INFO):
        file = load_surface(tmp_path / "a.obj")
    corners, uv = file.vertices[file.faces], file.corner_uv
    assert corners[:, :, :2].tolist()[:2] == [[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]]
    assert uv is not None
    expected = [[[0.1, 0.2], [0.7, 0.25], [0.8, 0.9]], [[0.1, 0.2], [0.8, 0.9], [0.15, 0.65]]]
    np.testing.assert_array_equal(uv[:2].astype(np.float32), np.array(expected, np.float32))
    np.testing.assert_array_equal(uv[2, 1].astype(np.float32), np.array([1.5, -0.5], np.float32))
    assert "1 polygons are seen as triangles" in caplog.text


def test_polygons_of_ply_and_off_are_told_too(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    points = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 1"
    faces = "4 0 1 2 3\n3 0 1 4\n5 0 1 2 3 4"
    for name, content in (("a.ply", ply(points, faces)), ("a.off", f"OFF\n5 3 0\n{points}\n{faces}\n")):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            file = load_surface(written(tmp_path, name, content))
        assert [sorted(face) for face in file.faces.tolist()] == [
            *([0, 1, 2], [0, 2, 3], [0, 1, 4], [0, 1, 2], [0, 2, 3], [0, 3, 4])
        ]
        assert caplog.messages == [f"{tmp_path / name}: 2 polygons are seen as triangles"]


@pytest.mark.parametrize("n_bodies", [3, 5])
def test_several_bodies_become_one_in_their_order(n_bodies: int, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    bodies = [(POSITIONS + i, FACES[: 1 + i % 3], RAW_UV + i) for i in range(n_bodies)]
    with caplog.at_level(logging.INFO):
        file = load_surface(written(tmp_path, "a.glb", glb(bodies)))
    assert file.vertices.tolist() == np.concatenate([body[0] for body in bodies]).tolist()
    assert file.faces.tolist() == np.concatenate([body[1] + 4 * i for i, body in enumerate(bodies)]).tolist()
    assert file.uv is not None
    assert file.uv.tobytes() == np.concatenate([body[2] for body in bodies]).astype("<f4").tobytes()
    assert len(file.file.materials) == n_bodies


def test_several_materials_leave_order_and_vertices_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    more = "usemtl A\nf 1/1 2/2 5/5\nusemtl B\nf 2/2 3/3 5/5\nusemtl A\nf 4/4 1/1 5/5\n"
    path = written(tmp_path, "a.obj", QUADS + more)
    with caplog.at_level(logging.INFO):
        file = load_surface(path)
    assert file.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert file.faces.tolist()[3:] == [[0, 1, 5], [1, 3, 5], [4, 0, 5]]
    assert file.file.material_of_faces()[0] == (None, "A", "B"), "those before either come first"


def test_why_there_are_no_texture_coordinates(tmp_path: Path):
    assert load_surface(written(tmp_path, "a.obj", SQUARE + "f 1 2 3\n")).file.without_uv == NO_UV
    some = "vt 0 0\nf 1/1 2/1 3/1\nf 2 3 4\n"
    assert load_surface(written(tmp_path, "b.obj", SQUARE + some)).file.without_uv == SOME_UV
    broken = "vt 0 0\nf 1/1 2/1 3/2\n"
    assert load_surface(written(tmp_path, "c.obj", SQUARE + broken)).file.without_uv == BROKEN_UV
    body = (POSITIONS, FACES, RAW_UV)
    assert load_surface(written(tmp_path, "d.glb", glb([body, (POSITIONS, FACES, None)]))).file.without_uv == SOME_UV
    assert load_surface(written(tmp_path, "e.glb", glb([(POSITIONS, FACES, None)] * 2))).file.without_uv == NO_UV
    assert load_surface(written(tmp_path, "f.glb", glb([body, body]))).uv is not None


def test_vertices_without_a_face_stay_whatever_they_are(tmp_path: Path):
    file = load_surface(written(tmp_path, "a.obj", "v nan 0 0\nv 1e300 0 0\n" + SQUARE + "f 3 4 5\n"))
    assert file.vertices.shape == (6, 3)
    assert file.faces.tolist() == [[2, 3, 4]]


def test_detail_that_float32_cannot_hold_is_told(tmp_path: Path):
    far = "v 1e9 0 0\nv 1000000001 0 0\nv 1e9 {} 0\nf 1 2 3\n"
    with pytest.raises(UserError, match=r"a\.obj: zero area: its faces are lines or points"):
        load_surface(written(tmp_path, "a.obj", far.format("1e-50")))
    assert load_surface(written(tmp_path, "b.obj", far.format("1"))).vertices[1, 0] == 1000000001, "far, and whole"


def test_a_position_has_one_number_however_often_it_is_there(tmp_path: Path):
    box = trimesh.creation.box()
    box.export(tmp_path / "a.stl")  # 36 vertices
    file = load_surface(tmp_path / "a.stl")
    assert len(np.unique(file.faces)) > 8
    numbers = file.position[file.faces]
    assert len(np.unique(numbers)) == 8


def test_what_cannot_be_painted_is_told_before_anything_is_unwrapped(tmp_path: Path):
    path = written(tmp_path, "a.obj", "mtllib a.mtl\n" + QUADS)
    with pytest.raises(UserError, match=r"a\.obj: materials: it has no 'Wheels'"):
        check_surface_file(path, ("Wheels",), starts_with_own=False)
    with pytest.raises(UserError, match=r"a\.obj: refers to 'a\.mtl', which does not exist"):
        check_surface_file(path, (), starts_with_own=True)
    (tmp_path / "a.mtl").write_text("newmtl A\n")
    with pytest.raises(UserError, match=r"a\.obj: it has no texture to start from"):
        check_surface_file(path, (), starts_with_own=True)
    check_surface_file(path, (), starts_with_own=False)

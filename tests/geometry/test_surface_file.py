"""Mesh files with texture coordinates: arrays as the file has them, whatever reads it."""

import json
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry.file_body import BROKEN_UV, NO_UV, SOME_UV
from geometry.surface_file import read_surface, same_positions, v_upward
from tests.geometry.small_meshes import SQUARE, ply, written
from tests.geometry.small_meshes import glb as several

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
POSITIONS = np.array([[0.1, 0.2, 0.3], [1, 0, 0], [0, 1.5, 0], [0, 0, 2]], dtype="<f4")
# v values that 1 - v would round.
RAW_UV = np.array([[0.25, 1e-17], [0.123456789, 0.0999999], [1e-8, 0.7], [2.5, -0.3]], dtype="<f4")
FACES = np.array([[0, 2, 1], [0, 1, 3], [3, 2, 0]], dtype="<u4")


def glb(
    path: Path,
    uv: bool = True,
    matrix: list[float] | None = None,
    own: tuple[np.ndarray, np.ndarray, np.ndarray] = (POSITIONS, RAW_UV, FACES),
) -> Path:
    """A GLB written by hand, with no material; `own`: positions, texture coordinates, faces."""
    arrays = [own[0].astype("<f4"), own[1].astype("<f4"), own[2].astype("<u4").reshape(-1)]
    offsets = np.cumsum([0, *(array.nbytes for array in arrays)]).tolist()
    views = [
        {"buffer": 0, "byteOffset": at, "byteLength": array.nbytes}
        for at, array in zip(offsets[:3], arrays, strict=True)
    ]
    types = [(5126, "VEC3"), (5126, "VEC2"), (5125, "SCALAR")]
    accessors = [
        {"bufferView": i, "componentType": component, "type": kind, "count": len(arrays[i])}
        for i, (component, kind) in enumerate(types)
    ]
    attributes = {"POSITION": 0, **({"TEXCOORD_0": 1} if uv else {})}
    tree = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0, **({"matrix": matrix} if matrix else {})}],
        "meshes": [{"primitives": [{"attributes": attributes, "indices": 2}]}],
        "buffers": [{"byteLength": offsets[3]}],
        "bufferViews": views,
        "accessors": accessors,
    }
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    binary = b"".join(array.tobytes() for array in arrays)
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
    path.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
    return path


def test_glb_arrays_come_bit_for_bit_without_a_material(tmp_path: Path):
    file = read_surface(glb(tmp_path / "a.glb"))
    assert file.vertices.tobytes() == POSITIONS.tobytes()
    assert file.faces.tolist() == FACES.tolist()
    assert file.uv is not None
    assert file.uv.tobytes() == RAW_UV.tobytes()
    assert file.v_points_down
    assert file.corner_uv is not None
    np.testing.assert_allclose(file.corner_uv[0, 2], [0.123456789, 1 - 0.0999999], rtol=1e-7)


def test_coordinates_are_the_worlds(tmp_path: Path):
    moved = [2.0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 5, 6, 7, 1]  # column after column
    file = read_surface(glb(tmp_path / "a.glb", matrix=moved))
    np.testing.assert_allclose(file.vertices, 2 * POSITIONS + [5, 6, 7], rtol=1e-6)


def test_without_coordinates_there_are_none(tmp_path: Path):
    file = read_surface(glb(tmp_path / "a.glb", uv=False))
    assert file.uv is None
    assert file.corner_uv is None


def test_obj_polygons_become_fans_and_that_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "a.obj").write_text(QUADS)
    with caplog.at_level(logging.INFO):
        file = read_surface(tmp_path / "a.obj")
    corners, uv = file.vertices[file.faces], file.corner_uv
    assert corners[:, :, :2].tolist()[:2] == [[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]]
    assert uv is not None
    expected = [[[0.1, 0.2], [0.7, 0.25], [0.8, 0.9]], [[0.1, 0.2], [0.8, 0.9], [0.15, 0.65]]]
    np.testing.assert_array_equal(uv[:2].astype(np.float32), np.array(expected, np.float32))
    np.testing.assert_array_equal(uv[2, 1].astype(np.float32), np.array([1.5, -0.5], np.float32))
    assert "1 polygons are split into fans of triangles" in caplog.text


def test_polygons_of_ply_and_off_are_told_too(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    points = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 1"
    faces = "4 0 1 2 3\n3 0 1 4\n5 0 1 2 3 4"
    for name, content in (("a.ply", ply(points, faces)), ("a.off", f"OFF\n5 3 0\n{points}\n{faces}\n")):
        caplog.clear()
        with caplog.at_level(logging.INFO):
            file = read_surface(written(tmp_path, name, content))
        assert [sorted(face) for face in file.faces.tolist()] == [
            *([0, 1, 2], [0, 2, 3], [0, 1, 4], [0, 1, 2], [0, 2, 3], [0, 3, 4])
        ]
        assert caplog.messages == [f"{tmp_path / name}: 2 polygons are split into fans of triangles"]


@pytest.mark.parametrize("n_bodies", [3, 5])
def test_several_bodies_become_one_in_their_order_and_that_is_told(
    n_bodies: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    bodies = [(POSITIONS + i, FACES[: 1 + i % 3], RAW_UV + i) for i in range(n_bodies)]
    with caplog.at_level(logging.INFO):
        file = read_surface(written(tmp_path, "a.glb", several(bodies)))
    assert file.vertices.tobytes() == np.concatenate([body[0] for body in bodies]).astype("<f4").tobytes()
    assert file.faces.tolist() == np.concatenate([body[1] + 4 * i for i, body in enumerate(bodies)]).tolist()
    assert file.uv is not None
    assert file.uv.tobytes() == np.concatenate([body[2] for body in bodies]).astype("<f4").tobytes()
    assert file.n_bodies == n_bodies
    assert f"its {n_bodies} bodies and their materials are painted as one" in caplog.text


def test_several_materials_leave_order_and_vertices_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    more = "usemtl A\nf 1/1 2/2 5/5\nusemtl B\nf 2/2 3/3 5/5\nusemtl A\nf 4/4 1/1 5/5\n"
    path = written(tmp_path, "a.obj", QUADS + more)
    with caplog.at_level(logging.INFO):
        file = read_surface(path)
    assert file.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert file.faces.tolist()[3:] == [[0, 1, 5], [1, 3, 5], [4, 0, 5]]
    assert "its 3 bodies and their materials are painted as one" in caplog.text, "A, B, and those before either"


def test_why_there_are_no_texture_coordinates(tmp_path: Path):
    assert read_surface(written(tmp_path, "a.obj", SQUARE + "f 1 2 3\n")).without_uv == NO_UV
    some = "vt 0 0\nf 1/1 2/1 3/1\nf 2 3 4\n"
    assert read_surface(written(tmp_path, "b.obj", SQUARE + some)).without_uv == SOME_UV
    broken = "vt 0 0\nf 1/1 2/1 3/2\n"
    assert read_surface(written(tmp_path, "c.obj", SQUARE + broken)).without_uv == BROKEN_UV
    body = (POSITIONS, FACES, RAW_UV)
    assert read_surface(written(tmp_path, "d.glb", several([body, (POSITIONS, FACES, None)]))).without_uv == SOME_UV
    assert read_surface(written(tmp_path, "e.glb", several([(POSITIONS, FACES, None)] * 2))).without_uv == NO_UV
    assert read_surface(written(tmp_path, "f.glb", several([body, body]))).uv is not None


def test_vertices_without_a_face_stay_whatever_they_are(tmp_path: Path):
    file = read_surface(written(tmp_path, "a.obj", "v nan 0 0\nv 1e300 0 0\n" + SQUARE + "f 3 4 5\n"))
    assert file.vertices.shape == (6, 3)
    assert file.faces.tolist() == [[2, 3, 4]]


def test_detail_that_float32_cannot_hold_is_told(tmp_path: Path):
    far = "v 1e9 0 0\nv 1000000001 0 0\nv 1e9 1e-50 0\nf 1 2 3\n"
    with pytest.raises(UserError, match=r"a\.obj: zero extent: all of its vertices lie in one point, as float32 holds"):
        read_surface(written(tmp_path, "a.obj", far))


def test_a_position_has_one_number_however_often_it_is_there(tmp_path: Path):
    box = trimesh.creation.box()
    box.export(tmp_path / "a.stl")  # 36 vertices
    file = read_surface(tmp_path / "a.stl")
    assert len(np.unique(file.faces)) > 8
    numbers = same_positions(file)
    assert numbers.shape == (12, 3)
    assert len(np.unique(numbers)) == 8


def test_turning_v_over_twice_brings_it_back():
    uv = np.random.default_rng(0).random((100, 2)).astype(np.float32)
    again = v_upward(v_upward(uv, True), True).astype(np.float32)
    np.testing.assert_array_equal(again, uv)
    np.testing.assert_array_equal(v_upward(uv, False), uv.astype(np.float64))

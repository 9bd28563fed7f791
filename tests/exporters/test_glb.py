"""Binary glTF, read back by its specification and by trimesh."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from exporters.glb import ColouredMesh, glb_bytes, linear_from_srgb, write_glb

EXTRAS = {"prompt": 'a "red" mushroom \u2603', "seed": 3}


def _tetrahedron() -> ColouredMesh:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    normals = np.full((4, 3), 1 / np.sqrt(3), dtype=np.float32)
    colours = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0.5], [0.01, 0, 1]], dtype=np.float32)
    return ColouredMesh(vertices, normals, faces, colours)


def _parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    n_text, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON"
    n_binary, kind = struct.unpack_from("<I4s", content, 20 + n_text)
    assert kind == b"BIN\0"
    assert n_text % 4 == n_binary % 4 == 0
    assert 20 + n_text + 8 + n_binary == len(content)
    return json.loads(content[20 : 20 + n_text]), content[28 + n_text :]


def test_each_accessor_lies_in_its_view_and_tells_the_truth():
    mesh = _tetrahedron()
    tree, binary = _parts(glb_bytes(mesh, EXTRAS))
    attributes = tree["meshes"][0]["primitives"][0]["attributes"]
    position = tree["accessors"][attributes["POSITION"]]
    assert (position["min"], position["max"]) == ([0, 0, 0], [1, 1, 1])
    sizes = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}
    bytes_of = {5126: 4, 5125: 4, 5123: 2}
    for accessor in tree["accessors"]:
        view = tree["bufferViews"][accessor["bufferView"]]
        assert view["byteOffset"] % 4 == 0
        assert view["byteLength"] == accessor["count"] * sizes[accessor["type"]] * bytes_of[accessor["componentType"]]
        assert view["byteOffset"] + view["byteLength"] <= len(binary) == tree["buffers"][0]["byteLength"]
    indices = tree["accessors"][tree["meshes"][0]["primitives"][0]["indices"]]
    start = tree["bufferViews"][indices["bufferView"]]["byteOffset"]
    assert np.frombuffer(binary, "<u4", 12, start).tolist() == mesh.faces.flatten().tolist()


def test_vertex_colours_are_linear():
    tree, binary = _parts(glb_bytes(_tetrahedron(), EXTRAS))
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["COLOR_0"]]
    assert accessor["normalized"] is True
    start = tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
    colours = np.frombuffer(binary, "<u2", 16, start).reshape(4, 4) / 65535
    assert colours[2] == pytest.approx([0.21404, 0.21404, 0.21404, 1], abs=1e-4)  # sRGB 0.5
    assert colours[3, 0] == pytest.approx(0.01 / 12.92, abs=1e-5)


def test_srgb_ends_and_join():
    values = linear_from_srgb(np.array([0.0, 0.04045, 0.040451, 1.0]))
    assert values[[0, 3]].tolist() == [0, 1]
    assert values[1] == pytest.approx(values[2], rel=1e-3)


def test_trimesh_reads_the_same_mesh(tmp_path: Path):
    mesh = _tetrahedron()
    loaded: Any = trimesh.load(write_glb(tmp_path / "mesh.glb", mesh, EXTRAS), process=False, force="mesh")
    assert np.array_equal(loaded.vertices, mesh.vertices)
    assert np.array_equal(loaded.faces, mesh.faces)
    assert loaded.volume == pytest.approx(1 / 6)


def test_extras_travel_and_bytes_repeat():
    first, second = glb_bytes(_tetrahedron(), EXTRAS), glb_bytes(_tetrahedron(), EXTRAS)
    assert first == second
    assert _parts(first)[0]["asset"]["extras"] == EXTRAS

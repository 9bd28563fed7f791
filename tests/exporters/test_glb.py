"""Binary glTF, read back by its specification and by trimesh."""

import dataclasses
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh
from PIL import Image

from exporters.glb import glb_bytes
from exporters.mesh_files import write_mesh
from geometry.mesh import Mesh
from geometry.mesh_file import read_mesh
from geometry.pictures import linear_from_srgb

EXTRAS = {"prompt": 'a "red" mushroom \u2603', "seed": 3}


def _tetrahedron() -> Mesh:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=np.float32)
    faces = np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]])
    normals = np.full((4, 3), 1 / np.sqrt(3), dtype=np.float32)
    colours = np.array([[1, 0, 0], [0, 1, 0], [0.5, 0.5, 0.5], [0.01, 0, 1]], dtype=np.float32)
    return Mesh(vertices, faces, normals, colours=colours)


def _textured() -> Mesh:
    bare = _tetrahedron()
    uv = np.array([[0, 0], [1, 0], [0, 1], [0.25, 0.75]], np.float32)
    texture = np.zeros((8, 16, 3), np.uint8)
    texture[:4] = [250, 10, 20]
    return Mesh(bare.vertices, bare.faces, bare.normals, uv=uv, texture=texture)


def _parts(content: bytes) -> tuple[dict[str, Any], bytes]:
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    n_text, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON"
    n_binary, kind = struct.unpack_from("<I4s", content, 20 + n_text)
    assert kind == b"BIN\0"
    assert n_text % 4 == n_binary % 4 == 0
    assert 20 + n_text + 8 + n_binary == len(content)
    return json.loads(content[20 : 20 + n_text], parse_constant=_no_json), content[28 + n_text :]


def _no_json(word: str) -> None:
    raise AssertionError(f"{word} is no JSON, whatever Python's reader takes")


def test_an_unused_vertex_that_is_no_number_stays_and_bounds_are_numbers():
    mesh = _tetrahedron()
    vertices = np.vstack([mesh.vertices, [[np.nan, np.inf, -np.inf]]]).astype(np.float32)
    assert mesh.normals is not None
    assert mesh.colours is not None
    normals, colours = (np.vstack([values, values[:1]]) for values in (mesh.normals, mesh.colours))
    tree, binary = _parts(glb_bytes(Mesh(vertices, mesh.faces, normals, colours=colours), EXTRAS))
    position = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"]["POSITION"]]
    assert (position["min"], position["max"]) == ([0, 0, 0], [1, 1, 1])
    start = tree["bufferViews"][position["bufferView"]]["byteOffset"]
    assert binary[start : start + vertices.nbytes] == vertices.tobytes()


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
    loaded: Any = trimesh.load(write_mesh(tmp_path / "mesh.glb", mesh, EXTRAS)[0], process=False, force="mesh")
    assert np.array_equal(loaded.vertices, mesh.vertices)
    assert np.array_equal(loaded.faces, mesh.faces)
    assert loaded.volume == pytest.approx(1 / 6)


def test_extras_travel_and_bytes_repeat():
    first, second = glb_bytes(_tetrahedron(), EXTRAS), glb_bytes(_tetrahedron(), EXTRAS)
    assert first == second
    assert _parts(first)[0]["asset"]["extras"] == EXTRAS


def test_a_texture_travels_inside_and_keeps_its_top_on_top(tmp_path: Path):
    mesh = _textured()
    assert mesh.uv is not None
    assert mesh.texture is not None
    tree, binary = _parts(glb_bytes(mesh, EXTRAS))
    (primitive,) = tree["meshes"][0]["primitives"]
    assert "COLOR_0" not in primitive["attributes"]
    view = tree["bufferViews"][tree["images"][0]["bufferView"]]
    picture = Image.open(io.BytesIO(binary[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]))
    assert np.array_equal(np.asarray(picture), mesh.texture)
    accessor = tree["accessors"][primitive["attributes"]["TEXCOORD_0"]]
    start = tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
    places = np.frombuffer(binary, "<f4", 8, start).reshape(4, 2)
    assert places.tolist() == [[0, 1], [1, 1], [0, 0], [0.25, 0.25]]  # glTF counts from the top
    matte = tree["materials"][0]["pbrMetallicRoughness"]
    assert (matte["metallicFactor"], matte["roughnessFactor"], matte["baseColorTexture"]) == (0, 1, {"index": 0})
    loaded: Any = trimesh.load(write_mesh(tmp_path / "mesh.glb", mesh, EXTRAS)[0], process=False, force="mesh")
    assert np.array_equal(loaded.visual.uv, mesh.uv)  # trimesh counts from the bottom
    assert loaded.visual.to_color().vertex_colors[2, :3].tolist() == [250, 10, 20]


def test_a_mesh_without_normals_has_none():
    bare = _tetrahedron()
    tree, _ = _parts(glb_bytes(Mesh(bare.vertices, bare.faces, colours=bare.colours), EXTRAS))
    assert set(tree["meshes"][0]["primitives"][0]["attributes"]) == {"POSITION", "COLOR_0"}


def test_a_mesh_far_from_the_origin_keeps_its_shape_about_a_node(tmp_path: Path):
    """A crate 0.3 m wide in map coordinates: float32 alone would place it in steps of half a metre."""
    near = _tetrahedron()
    far = dataclasses.replace(near, vertices=near.vertices * 0.3 + [400000.0, 6000000.0, 12.0])
    tree, _ = _parts(glb_bytes(far, {}))
    assert tree["nodes"][0]["translation"] == pytest.approx([400000, 6000000, 12], abs=1)
    path = tmp_path / "far.glb"
    path.write_bytes(glb_bytes(far, {}))
    read = read_mesh(path)
    np.testing.assert_allclose(read.corners, far.corners, atol=1e-6)
    assert "translation" not in _parts(glb_bytes(near, {}))[0]["nodes"][0]

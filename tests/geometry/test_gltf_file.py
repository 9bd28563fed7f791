"""glTF files: their arrays bit for bit, wherever the file keeps them, and what is told of broken ones."""

import base64
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from geometry.gltf_container import parsed
from geometry.gltf_scene import read_gltf
from geometry.mesh import Mesh, joined, signed_volumes
from geometry.mesh_file import read_mesh
from tests.geometry.small_meshes import FACES, POSITIONS, RAW_UV, glb, one_glb, packed_glb, triangle

PATH = Path("some/a.gltf")
ODD: list[tuple[Any, str]] = [
    ([], "its JSON is no object"),
    (7, "its JSON is no object"),
    ({"meshes": [1]}, "its parts do not fit together"),
    ({"meshes": "ab"}, "its parts do not fit together"),
    ({"meshes": [{"primitives": 3}]}, "its parts do not fit together"),
    ({"meshes": [{"primitives": [None]}]}, "its parts do not fit together"),
    ({"meshes": [{"primitives": [{"attributes": "POSITION"}]}]}, "its parts do not fit together"),
    ({"nodes": [{"children": [1]}, {"children": [0]}], "scenes": [{"nodes": [0]}]}, "node 0 has two parents"),
    ({"asset": {"version": "1.0"}, "meshes": {"a": {}}}, "it is glTF 1.0, and 2.0 is read; save it as glTF 2.0"),
    ({"extensionsRequired": ["ACME_compression"]}, "it needs ACME_compression, which is not read"),
    (
        {"extensionsRequired": ["KHR_materials_unlit", "EXT_a", "EXT_b"]},
        "it needs EXT_a, EXT_b, which is not read",
    ),
]


@pytest.mark.parametrize(("tree", "complaint"), ODD)
def test_json_of_another_shape_is_told(tree: Any, complaint: str):
    for name, content in (("a.gltf", json.dumps(tree).encode()), ("a.glb", packed_glb(tree))):
        with pytest.raises(UserError, match=rf"{name}: not a readable \w+ file: .*{complaint}") as caught:
            read_gltf(content, Path(name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.gltf", np.random.default_rng(0).bytes(4000), "GLTF file: "),
        ("a.gltf", b"{not json", "GLTF file: Expecting property name"),
        ("a.gltf", b"[" * 100_000, "GLTF file: "),
        ("a.glb", np.random.default_rng(0).bytes(4000), "GLB file: it does not begin with 'glTF'"),
        ("a.glb", b"{}", "GLB file: it does not begin with 'glTF'"),
        ("a.glb", b"glTF", "GLB file: "),
        ("a.glb", b"glTF\2\0\0\0\1\0\0\0xxxxJSONzz", "GLB file: "),
    ],
)
def test_garbage_is_told(name: str, content: bytes, complaint: str):
    with pytest.raises(UserError, match=f"^{name}: not a readable {complaint}") as caught:
        parsed(content, Path(name))
    assert "\n" not in str(caught.value)


def test_glb_arrays_come_bit_for_bit_without_a_material(tmp_path: Path):
    file = read_mesh(one_glb(tmp_path / "a.glb"))
    assert file.vertices.astype("<f4").tobytes() == POSITIONS.tobytes()
    assert file.faces.tolist() == FACES.tolist()
    assert file.uv is not None
    assert file.uv.tobytes() == RAW_UV.tobytes()
    assert file.v_down
    assert file.corner_uv is not None
    np.testing.assert_allclose(file.corner_uv[0, 2], [0.123456789, 1 - 0.0999999], rtol=1e-7)


def _tree(values: np.ndarray, component: int, **changes: Any) -> dict[str, Any]:
    """One primitive without indices, whose positions are given in any component type, in the file itself."""
    uri = "data:application/octet-stream;base64," + base64.b64encode(values.tobytes()).decode()
    accessor = {"bufferView": 0, "componentType": component, "count": len(values), "type": "VEC3"}
    return {
        "asset": {"version": "2.0"},
        "buffers": [{"uri": uri, "byteLength": values.nbytes}],
        "bufferViews": [{"buffer": 0, "byteLength": values.nbytes}],
        "accessors": [{**accessor, **changes.pop("accessor", {})}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}, **changes.pop("primitive", {})}]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        **changes,
    }


def _read(tree: dict[str, Any]) -> Mesh:
    return joined(read_gltf(json.dumps(tree).encode(), PATH))


def test_whole_numbers_stand_for_shares_where_they_are_normalised():
    values = np.array([[-32768, -32767, 0], [32767, 16384, 1], [0, 1, 2]], "<i2")
    required = {"extensionsRequired": ["KHR_mesh_quantization"]}
    as_they_are = _read(_tree(values, 5122, **required))
    assert as_they_are.vertices.tolist() == values.tolist()
    shares = _read(_tree(values, 5122, accessor={"normalized": True}, **required))
    np.testing.assert_array_equal(shares.vertices[0], [-1, -1, 0])
    np.testing.assert_array_equal(shares.vertices[1:], values[1:] / 32767)


def test_sparse_numbers_are_put_in_their_places():
    values = np.arange(9, dtype="<f4").reshape(3, 3)
    tree = _tree(values, 5126)
    extra = np.array([1], "<u2").tobytes() + b"\0\0" + np.array([[7, 8, 9]], "<f4").tobytes()
    tree["buffers"].append({"uri": "data:;base64," + base64.b64encode(extra).decode(), "byteLength": len(extra)})
    tree["bufferViews"].append({"buffer": 1, "byteLength": len(extra)})
    places, values = {"bufferView": 1, "componentType": 5123}, {"bufferView": 1, "byteOffset": 4}
    tree["accessors"][0]["sparse"] = {"count": 1, "indices": places, "values": values}
    assert _read(tree).vertices.tolist() == [[0, 1, 2], [7, 8, 9], [6, 7, 8]]


def test_rows_may_lie_apart():
    values = np.arange(15, dtype="<f4").reshape(3, 5)
    tree = _tree(values, 5126)
    tree["bufferViews"][0]["byteStride"] = 20
    tree["accessors"][0]["byteOffset"] = 4
    assert _read(tree).vertices.tolist() == values[:, 1:4].tolist()
    tree["accessors"][0]["byteOffset"] = 12
    with pytest.raises(UserError, match=r"its parts do not fit together .*does not hold the 3 elements"):
        _read(tree)


CUBE = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], "<f4")
STRIP = [6, 7, 4, 5, 1, 7, 3, 6, 2, 4, 0, 1, 2, 3]


def test_a_strip_closes_a_cube_and_a_fan_a_square():
    strip = CUBE[STRIP]
    cube = _read(_tree(strip, 5126, primitive={"mode": 5}))
    assert len(cube.faces) == 12
    assert abs(signed_volumes(cube.corners).sum()) == pytest.approx(1)
    fan = _read(_tree(CUBE[[0, 4, 6, 2]], 5126, primitive={"mode": 6}))
    assert fan.faces.tolist() == [[1, 2, 0], [2, 3, 0]]
    assert _read_none(_tree(CUBE, 5126, primitive={"mode": 1}))


def _read_none(tree: dict[str, Any]) -> bool:
    return read_gltf(json.dumps(tree).encode(), PATH) == []


def test_nodes_place_meshes_by_what_they_say():
    turn = [0, 0, float(np.sin(np.pi / 4)), float(np.cos(np.pi / 4))]  # a quarter about z
    tree = _tree(CUBE[[0, 4, 2]], 5126)
    tree["nodes"] = [
        {"mesh": 0, "translation": [1, 0, 0], "rotation": turn, "scale": [2, 3, 4]},
        {"children": [0], "translation": [0, 0, 5]},
    ]
    tree["scenes"] = [{"nodes": []}, {"nodes": [1]}]
    tree["scene"] = 1
    np.testing.assert_allclose(_read(tree).vertices, [[1, 0, 5], [1, 2, 5], [-2, 0, 5]], atol=1e-12)
    tree["nodes"][0]["scale"] = [-2, 3, 4]
    assert _read(tree).faces.tolist() == [[2, 1, 0]], "a mirrored face is turned over"


def test_many_nodes_take_seconds():
    """Side by side, and each within the one before it: 2^15 of both."""
    tree, n = _tree(CUBE[[0, 4, 2]], 5126), 2**15
    tree["nodes"] = [{"mesh": 0, "translation": [i, 0, 0]} for i in range(n)]
    tree["nodes"] += [{"children": [n + i + 1], "translation": [0, 0, 1]} for i in range(n)] + [{"mesh": 0}]
    tree["scenes"] = [{"nodes": [*range(n), n]}]
    begin = time.process_time()
    corner = _read(tree).corners[:, 0]
    assert time.process_time() - begin < 10
    np.testing.assert_array_equal(corner[:n], np.arange(n)[:, None] * [1, 0, 0])
    np.testing.assert_array_equal(corner[n:], [[0, 0, n]])


def test_a_scene_that_would_not_fit_in_memory_is_refused():
    tree = _tree(np.zeros((3 * 2**13, 3), "<f4"), 5126)
    tree["nodes"] = [{"mesh": 0}] * 2**13
    tree["scenes"] = [{"nodes": list(range(2**13))}]
    with pytest.raises(UserError, match=r"it places 24,576 vertices or faces 8,192 times"):
        _read(tree)


def test_a_file_without_scenes_is_a_library_of_meshes():
    tree = _tree(CUBE[:3], 5126)
    del tree["scenes"]
    assert len(_read(tree).faces) == 1
    del tree["nodes"]
    assert len(_read(tree).faces) == 1


def test_parts_know_their_materials():
    content = glb([triangle(1), triangle(2), triangle(3)])
    tree, binary = parsed(content, Path("a.glb")).tree, parsed(content, Path("a.glb")).binary
    for index, material in ((0, 4), (2, 1)):
        tree["meshes"][index]["primitives"][0]["material"] = material
    tree["materials"] = [{"name": "Paint"}, {"name": "Glass"}, {"name": "Paint"}, {}, {"name": "Wheels"}]
    mesh = joined(read_gltf(packed_glb(tree, binary), Path("a.glb")))
    assert [mesh.file.material_name(index) for index in range(5)] == [
        "Paint 0",
        "Glass",
        "Paint 2",
        "material 3",
        "Wheels",
    ]
    assert mesh.file.materials == (4, None, 1)
    assert mesh.file.part.tolist() == [0, 1, 2]
    assert mesh.file.polygon.tolist() == [0, 1, 2]

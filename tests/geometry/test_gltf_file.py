"""The outside of glTF files: what is let through, and what is told of the others."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from geometry.gltf_file import RAW_UV, gltf_tree, with_raw_uv
from tests.geometry.small_meshes import glb, packed_glb, triangle

ODD: list[tuple[Any, str]] = [
    ([], "its JSON is no object"),
    (7, "its JSON is no object"),
    ({"meshes": [1]}, "its 'meshes' are no list of objects"),
    ({"meshes": "ab"}, "its 'meshes' are no list of objects"),
    ({"meshes": {"a": {}}}, "its 'meshes' are no list of objects"),
    ({"meshes": [{"primitives": 3}]}, "its 'primitives' are no list of objects"),
    ({"meshes": [{"primitives": [None]}]}, "its 'primitives' are no list of objects"),
    ({"meshes": [{"primitives": [{"attributes": "POSITION"}]}]}, "its 'attributes' are no object"),
]


@pytest.mark.parametrize(("tree", "complaint"), ODD)
def test_json_of_another_shape_is_told(tree: Any, complaint: str):
    for name, content in (("a.gltf", json.dumps(tree).encode()), ("a.glb", packed_glb(tree))):
        with pytest.raises(UserError, match=rf"{name}: not a readable \w+ file: {complaint}"):
            gltf_tree(Path(name), content)


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
        gltf_tree(Path(name), content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("tree", "complaint"),
    [
        (
            {"extensionsRequired": ["KHR_draco_mesh_compression"]},
            "compressed .KHR_draco.*; save it without compression",
        ),
        (
            {"extensionsRequired": ["a", "EXT_meshopt_compression"]},
            "its arrays are compressed .EXT_meshopt_compression",
        ),
        ({"meshes": [{"primitives": [{}, {"mode": 6}]}]}, "triangle fans .mode 6.; save it with triangles alone"),
    ],
)
def test_faces_that_would_be_lost_are_told(tree: Any, complaint: str):
    with pytest.raises(UserError, match=f"^a.glb: not a readable GLB file: .*{complaint}"):
        with_raw_uv(Path("a.glb"), packed_glb(tree))
    assert with_raw_uv(Path("a.glb"), packed_glb({"extensionsRequired": 3, "meshes": []}))


def test_the_second_name_changes_nothing_else():
    content = glb([triangle(1), triangle(2)])
    before, data = gltf_tree(Path("a.glb"), content)
    after, same = gltf_tree(Path("a.glb"), with_raw_uv(Path("a.glb"), content))
    attributes = [mesh["primitives"][0]["attributes"] for mesh in after["meshes"]]
    assert [one.pop(RAW_UV) for one in attributes] == [one["TEXCOORD_0"] for one in attributes]
    assert (after, same) == (before, data)


@pytest.mark.parametrize("index", [99, -1, "0", None])
def test_a_broken_reference_gets_no_second_name(index: Any):
    tree = {"meshes": [{"primitives": [{"attributes": {"TEXCOORD_0": index}}, {}]}], "accessors": [{}]}
    assert json.loads(with_raw_uv(Path("a.gltf"), json.dumps(tree).encode())) == tree

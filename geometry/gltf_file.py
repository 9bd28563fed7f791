"""The outside of glTF 2.0 files: their JSON, checked as far as it is used here, and what follows it."""

import json
import struct
from pathlib import Path
from typing import Any

from geometry.file_body import unreadable

#: The name under which trimesh's reader is made to hand out glTF's texture coordinates, bit for bit.
RAW_UV = "_RAW_UV"
_COMPRESSIONS, _TRIANGLE_FAN = ("KHR_draco_mesh_compression", "EXT_meshopt_compression"), 6
_GLB_HEADER, _GLB_CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")


def gltf_tree(path: Path, content: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON of a glTF file, and what follows it in a binary one.

    Raises:
        UserError: it is no glTF 2.0.
    """
    text, binary = content, b""
    try:
        if content.startswith(b"glTF"):
            size, _ = _GLB_CHUNK.unpack_from(content, _GLB_HEADER.size)
            begin = _GLB_HEADER.size + _GLB_CHUNK.size
            text, binary = content[begin : begin + size], content[begin + size :]
        elif path.suffix.lower() == ".glb":
            raise unreadable(path, "it does not begin with 'glTF'")
        tree = json.loads(text)
    except (ValueError, struct.error, RecursionError) as error:
        raise unreadable(path, str(error)) from error
    if not isinstance(tree, dict):
        raise unreadable(path, "its JSON is no object")
    for mesh in _objects(path, tree, "meshes"):
        for primitive in _objects(path, mesh, "primitives"):
            if not isinstance(primitive.get("attributes", {}), dict):
                raise unreadable(path, "its 'attributes' are no object")
    return tree, binary


def with_raw_uv(path: Path, content: bytes) -> bytes:
    """The file with its texture coordinates under a second name that trimesh's reader leaves alone.

    By the first name it gives them turned over, rounded by that, and only together with a material.

    Raises:
        UserError: it is no glTF 2.0, or has faces that trimesh would leave out without a word.
    """
    tree, binary = gltf_tree(path, content)
    required = tree.get("extensionsRequired")
    for name in _COMPRESSIONS:
        if isinstance(required, list) and name in required:
            raise unreadable(path, f"its arrays are compressed ({name}); save it without compression")
    accessors = tree.get("accessors", [])
    for primitive in [one for mesh in tree.get("meshes", []) for one in mesh.get("primitives", [])]:
        if primitive.get("mode") == _TRIANGLE_FAN:
            raise unreadable(path, "some of its faces are triangle fans (mode 6); save it with triangles alone")
        attributes = primitive.get("attributes", {})
        index = attributes.get("TEXCOORD_0")
        if isinstance(index, int) and isinstance(accessors, list) and 0 <= index < len(accessors):
            attributes[RAW_UV] = index
    text = json.dumps(tree).encode()
    if not content.startswith(b"glTF"):
        return text
    text += b" " * (-len(text) % 4)
    chunk = _GLB_CHUNK.pack(len(text), b"JSON") + text + binary
    return _GLB_HEADER.pack(b"glTF", 2, _GLB_HEADER.size + len(chunk)) + chunk


def _objects(path: Path, owner: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of JSON objects, empty where there is none."""
    found = owner.get(name, [])
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise unreadable(path, f"its '{name}' are no list of objects")
    return found

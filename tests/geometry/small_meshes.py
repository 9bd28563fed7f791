"""Mesh files of a few triangles, written by hand: byte by byte what a test says, whatever any library would do."""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

SQUARE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"
#: Positions, faces and texture coordinates of one body; faces None: points.
Part = tuple[np.ndarray, np.ndarray | None, np.ndarray | None]


POSITIONS = np.array([[0.1, 0.2, 0.3], [1, 0, 0], [0, 1.5, 0], [0, 0, 2]], dtype="<f4")
# v values that 1 - v would round.
RAW_UV = np.array([[0.25, 1e-17], [0.123456789, 0.0999999], [1e-8, 0.7], [2.5, -0.3]], dtype="<f4")
FACES = np.array([[0, 2, 1], [0, 1, 3], [3, 2, 0]], dtype="<u4")


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def ply(vertices: str, faces: str, names: str = "xyz") -> str:
    """An ASCII PLY file; a line for each vertex and face."""
    n_vertices, n_faces = len(vertices.splitlines()), len(faces.splitlines())
    properties = "".join(f"property float {name}\n" for name in names)
    return (
        f"ply\nformat ascii 1.0\nelement vertex {n_vertices}\n{properties}"
        f"element face {n_faces}\nproperty list uchar int vertex_indices\nend_header\n{vertices}\n{faces}\n"
    )


def gltf(uri: str, bytes_: int = 36) -> str:
    """A glTF file of one triangle whose corners are in another file."""
    return json.dumps(
        {
            "asset": {"version": "2.0"},
            "buffers": [{"uri": uri, "byteLength": bytes_}],
            "bufferViews": [{"buffer": 0, "byteLength": bytes_}],
            "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
            "nodes": [{"mesh": 0}],
            "scenes": [{"nodes": [0]}],
            "scene": 0,
        }
    )


def packed_glb(tree: Any, binary: bytes = b"") -> bytes:
    """A GLB file of any JSON and any bytes after it."""
    text = json.dumps(tree).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text
    if binary:
        body += struct.pack("<I4s", len(binary), b"BIN\0") + binary
    return struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body


def glb(parts: Sequence[Part], primitives: Sequence[Sequence[int]] | None = None) -> bytes:
    """A GLB file of several bodies, none of them named or placed.

    Args:
        primitives: the parts of each mesh; one for each part if not given.
    """
    tree: dict[str, Any] = {"asset": {"version": "2.0"}, "bufferViews": [], "accessors": []}
    binary = b""

    def stored(array: np.ndarray, component: int, kind: str) -> int:
        nonlocal binary
        view = {"buffer": 0, "byteOffset": len(binary), "byteLength": array.nbytes}
        count = array.size if kind == "SCALAR" else len(array)
        tree["bufferViews"].append(view)
        tree["accessors"].append(
            {"bufferView": len(tree["bufferViews"]) - 1, "componentType": component, "type": kind, "count": count}
        )
        binary += array.tobytes()
        return len(tree["accessors"]) - 1

    made = []
    for positions, faces, uv in parts:
        attributes = {"POSITION": stored(positions.astype("<f4"), 5126, "VEC3")}
        if uv is not None:
            attributes["TEXCOORD_0"] = stored(uv.astype("<f4"), 5126, "VEC2")
        if faces is None:
            made.append({"attributes": attributes, "mode": 0})
        else:
            made.append({"attributes": attributes, "indices": stored(faces.astype("<u4"), 5125, "SCALAR")})
    groups = primitives or [[i] for i in range(len(parts))]
    tree["meshes"] = [{"primitives": [made[i] for i in group]} for group in groups]
    tree["nodes"] = [{"mesh": i} for i in range(len(groups))]
    tree |= {"scenes": [{"nodes": list(range(len(groups)))}], "scene": 0, "buffers": [{"byteLength": len(binary)}]}
    return packed_glb(tree, binary)


def triangle(place: float) -> Part:
    """A body of one face, told by where it stands."""
    positions = np.array([[place, 0, 0], [place, 1, 0], [place, 0, 1]])
    return positions, np.array([[0, 1, 2]]), positions[:, 1:] / 2


def one_glb(
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

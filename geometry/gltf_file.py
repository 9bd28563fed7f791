"""glTF 2.0 files, parsed once: their JSON, the arrays in their buffers, and their triangles in world coordinates.

Why not trimesh's reader: texture coordinates are kept bit for bit, and trimesh turns v over, drops the coordinates of
primitives without a material, lists nodes in another order than the file, takes normalised whole numbers as they are
and passes over required extensions that it does not know.

Source: Khronos, glTF 2.0 specification, sections 3.5 (scenes), 3.6 (buffers and accessors), 3.7 (meshes), 4 (GLB).
"""

import base64
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from geometry.mesh import Mesh
from geometry.polygons import single_precision
from geometry.source_file import SourceFile, out_of_range, read_beside, unreadable

GLB_HEADER, GLB_CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")
#: Required extensions that do not change where the surface lies, or that are read here.
_HARMLESS = ("KHR_materials_", "KHR_texture_", "EXT_texture_", "KHR_lights_", "KHR_mesh_quantization")
_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_TRIANGLES, _STRIP, _FAN = 4, 5, 6
_MOST_NUMBERS = 2**28
#: What reading a file runs into where its JSON is inconsistent.
BROKEN = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError, MemoryError)


@dataclass(frozen=True, eq=False)
class Gltf:
    """A glTF file: its JSON, and the chunk that follows it in a binary one."""

    path: Path
    tree: dict[str, Any]
    binary: bytes

    @cached_property
    def _buffers(self) -> list[bytes]:
        return [self.resource(buffer["uri"]) if "uri" in buffer else self.binary for buffer in self.tree["buffers"]]

    def item(self, name: str, index: int) -> dict[str, Any]:
        """An object of one of the file's lists, such as "materials".

        Raises:
            Exception: of BROKEN, where there is none.
        """
        if index < 0:
            raise IndexError(f"{name} {index}")
        return self.tree[name][index]

    def view(self, index: int) -> bytes:
        """The bytes of a buffer view."""
        view = self.item("bufferViews", index)
        begin = view.get("byteOffset", 0)
        return self._buffers[view["buffer"]][begin : begin + view["byteLength"]]

    def resource(self, uri: str) -> bytes:
        """What a URI names: data in itself, or a file in the mesh's own folder.

        Raises:
            UserError: it lies elsewhere, or does not exist.
        """
        if not uri.startswith("data:"):
            return read_beside(self.path, uri)
        return base64.b64decode(uri.partition(",")[2], validate=True)

    def array(self, index: int) -> NDArray[Any]:
        """The numbers of an accessor, (count, width); whole numbers that stand for shares become float64."""
        accessor = self.item("accessors", index)
        count, width = accessor["count"], _WIDTHS[accessor["type"]]
        if not 0 <= count <= _MOST_NUMBERS // width:
            raise ValueError(f"an accessor of {count} elements")
        kind = np.dtype(_TYPES[accessor["componentType"]])
        is_stored = "bufferView" in accessor
        found = self._stored(accessor, kind, count, width) if is_stored else np.zeros((count, width), kind)
        if sparse := accessor.get("sparse"):
            places, values = sparse["indices"], sparse["values"]
            number = np.dtype(_TYPES[places["componentType"]])
            found = found.copy()
            where = self._stored(places, number, sparse["count"], 1)[:, 0]
            found[where] = self._stored(values, kind, sparse["count"], width)
        if accessor.get("normalized") and kind.kind in "iu":
            return np.maximum(found / np.iinfo(kind).max, -1.0)  # section 3.11
        return found

    def _stored(self, where: dict[str, Any], kind: np.dtype, count: int, width: int) -> NDArray[Any]:
        stride = self.item("bufferViews", where["bufferView"]).get("byteStride", width * kind.itemsize)
        data, begin = self.view(where["bufferView"]), where.get("byteOffset", 0)
        return np.ndarray((count, width), kind, data, begin, (stride, kind.itemsize))

    def is_moved(self) -> bool:
        """Whether nodes move the meshes, so that world coordinates differ from the numbers in the file."""
        words = ("matrix", "translation", "rotation", "scale")
        return any(word in node for node in self.tree.get("nodes", []) for word in words)


def parsed(content: bytes, path: Path) -> Gltf:
    """A glTF file's JSON, and what follows it.

    Raises:
        UserError: it is no glTF 2.0, or requires an extension that is not read here.
    """
    text, binary = content, b""
    try:
        if content.startswith(b"glTF"):
            size, _ = GLB_CHUNK.unpack_from(content, GLB_HEADER.size)
            begin = GLB_HEADER.size + GLB_CHUNK.size
            text, binary = content[begin : begin + size], content[begin + size + GLB_CHUNK.size :]
        elif path.suffix.lower() == ".glb":
            raise unreadable(path, "it does not begin with 'glTF'")
        tree = json.loads(text)
    except (ValueError, struct.error, RecursionError) as error:
        raise unreadable(path, str(error)) from error
    if not isinstance(tree, dict):
        raise unreadable(path, "its JSON is no object")
    asset = tree.get("asset")
    version = str(asset.get("version", "2.0")) if isinstance(asset, dict) else "2.0"
    if not version.startswith("2."):
        raise unreadable(path, f"it is glTF {version}, and 2.0 is read; save it as glTF 2.0")
    required = tree.get("extensionsRequired")
    names = [str(name) for name in required] if isinstance(required, list) else []
    if unknown := [name for name in names if not name.startswith(_HARMLESS)]:
        raise unreadable(path, f"it needs {', '.join(unknown)}, which is not read here; save it without that extension")
    return Gltf(path, tree, binary)


def read_gltf(content: bytes, path: Path) -> list[Mesh]:
    """The triangles of a glTF file, primitive after primitive, as often as nodes place each.

    Raises:
        UserError: it is no glTF 2.0, is broken, or refers to files that may not be opened.
    """
    gltf = parsed(content, path)
    try:
        matrices: dict[int, list[Float[np.ndarray, "4 4"]]] = {}
        for index, matrix in _placements(gltf.tree):
            matrices.setdefault(index, []).append(matrix)
        found: list[Mesh | None] = []
        for index in sorted(matrices):
            for primitive in gltf.item("meshes", index)["primitives"]:
                found.append(_placed(gltf, primitive, np.stack(matrices[index])))
        return [mesh for mesh in found if mesh is not None]
    except BROKEN as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise unreadable(path, f"its parts do not fit together ({said})") from error


def _placements(tree: dict[str, Any]) -> Iterator[tuple[int, Float[np.ndarray, "4 4"]]]:
    """Meshes by their index and where nodes of the scene place them, nodes in their order, children after parents.

    A file without scenes is a library of meshes: all of its nodes count, or without nodes all of its meshes.
    """
    nodes, scenes = tree.get("nodes", []), tree.get("scenes", [])
    children = {child for node in nodes for child in node.get("children", [])}
    if scenes:
        roots = scenes[tree.get("scene", 0)].get("nodes", [])
    else:
        roots = [index for index in range(len(nodes)) if index not in children]
    if not scenes and not nodes:
        yield from ((index, np.eye(4)) for index in range(len(tree.get("meshes", []))))
    order, parents = _walked(nodes, roots)
    matrices = _matrices([nodes[index] for index in order])
    for i, (index, parent) in enumerate(zip(order, parents, strict=True)):
        if parent >= 0:
            matrices[i] = matrices[parent] @ matrices[i]
        if "mesh" in nodes[index]:
            yield nodes[index]["mesh"], matrices[i]


def _walked(nodes: list[dict[str, Any]], roots: list[int]) -> tuple[list[int], list[int]]:
    """Nodes in the order of the scene, and where each one's parent stands in that order; -1 for a root."""
    order, parents, seen = list[int](), list[int](), set[int]()
    waiting = [(root, -1) for root in reversed(roots)]
    while waiting:
        index, parent = waiting.pop()
        if index in seen:
            raise ValueError(f"node {index} has two parents, or is its own")
        seen.add(index)
        waiting += [(child, len(order)) for child in reversed(nodes[index].get("children", []))]
        order.append(index)
        parents.append(parent)
    return order, parents


def _matrices(nodes: list[dict[str, Any]]) -> Float[np.ndarray, "nodes 4 4"]:
    """From each node's own coordinates to its parent's, of all nodes at once: there may be a hundred thousand.

    Source: glTF 2.0, section 3.5.3; the rotation is that of a unit quaternion (x, y, z, w), w + xi + yj + zk.
    """
    matrices = np.tile(np.eye(4), (len(nodes), 1, 1))
    quaternions = np.array([node.get("rotation", (0, 0, 0, 1)) for node in nodes], np.float64).reshape(-1, 4)
    length = np.linalg.norm(quaternions, axis=-1, keepdims=True)
    x, y, z, w = (quaternions / np.where(length > 0, length, 1.0)).T
    matrices[:, 0, :3] = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=-1)
    matrices[:, 1, :3] = np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=-1)
    matrices[:, 2, :3] = np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=-1)
    matrices[:, :3, :3] *= np.array([node.get("scale", (1, 1, 1)) for node in nodes], np.float64).reshape(-1, 1, 3)
    matrices[:, :3, 3] = np.array([node.get("translation", (0, 0, 0)) for node in nodes], np.float64).reshape(-1, 3)
    for i, node in enumerate(nodes):
        if "matrix" in node:
            matrices[i] = np.array(node["matrix"], np.float64).reshape(4, 4).T
    return matrices


def _placed(gltf: Gltf, primitive: dict[str, Any], matrices: Float[np.ndarray, "places 4 4"]) -> Mesh | None:
    """A primitive's triangles at each place, turned over where it mirrors; None for points and lines."""
    mode = primitive.get("mode", _TRIANGLES)
    if mode not in (_TRIANGLES, _STRIP, _FAN):
        return None
    attributes = primitive["attributes"]
    positions = gltf.array(attributes["POSITION"]).astype(np.float64)
    if positions.shape[1] != 3:
        raise ValueError(f"its vertices have {positions.shape[1]} coordinates, three are needed")
    corners = gltf.array(primitive["indices"])[:, 0] if "indices" in primitive else np.arange(len(positions))
    faces = _triangles(corners.astype(np.int64), mode)
    if len(faces) and faces.max() >= len(positions):
        raise out_of_range(gltf.path)
    uv = gltf.array(attributes["TEXCOORD_0"]) if "TEXCOORD_0" in attributes else None
    uv = None if uv is None or uv.shape != (len(positions), 2) else single_precision(uv)
    n_places, n_faces = len(matrices), len(faces)
    if n_places * max(len(positions), n_faces) > _MOST_NUMBERS // 3:
        raise unreadable(gltf.path, f"it places {len(positions):,} vertices {n_places:,} times; simplify the scene")
    # (places, vertices, 3); a product with 1 would turn -0.0 into 0.0, so what stays is not multiplied.
    vertices = positions @ matrices[:, :3, :3].transpose(0, 2, 1) + matrices[:, None, :3, 3]
    vertices[(matrices == np.eye(4)).all(axis=(1, 2))] = positions
    placed = faces + np.arange(n_places)[:, None, None] * len(positions)  # (places, faces, 3)
    mirroring = np.linalg.det(matrices[:, :3, :3]) < 0
    placed[mirroring] = placed[mirroring, :, ::-1]
    source = SourceFile(
        gltf.path,
        gltf.path.suffix.lower().removeprefix("."),
        polygon=np.arange(n_places * n_faces),
        part=np.arange(n_places).repeat(n_faces),
        materials=(primitive.get("material"),) * n_places,
        document=gltf,
    )
    uv = None if uv is None else np.tile(uv, (n_places, 1))
    return Mesh(vertices.reshape(-1, 3), placed.reshape(-1, 3), uv=uv, v_down=True, source=source)


def _triangles(corners: Int[np.ndarray, "corners"], mode: int) -> Int[np.ndarray, "faces 3"]:
    """Faces of a list of corners (section 3.7.2.1)."""
    if mode == _TRIANGLES:
        return corners.reshape(-1, 3)
    first = np.arange(max(0, len(corners) - 2))
    if mode == _FAN:
        return corners[np.stack([first + 1, first + 2, np.zeros_like(first)], axis=-1)]
    odd = first % 2
    return corners[np.stack([first, first + 1 + odd, first + 2 - odd], axis=-1)]

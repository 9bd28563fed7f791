"""A mesh file as something to be painted: its surface with its texture coordinates, exactly as the file has them.

The surface is in the file's own (world) coordinates. Texture coordinates are kept in the file's words: glTF counts v
downward from the top of a texture, all others upward from its bottom, and 1 - v is not always exact.
"""

import json
import logging
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from core.errors import UserError
from geometry.mesh import TriangleMesh, bodies, check_mesh, checked_format, joined, read_scene

log = logging.getLogger(__name__)

#: More faces are refused: to decimate them would not leave them as they are.
MOST_FACES = 500_000
#: The name under which trimesh's reader is made to hand out glTF's texture coordinates, bit for bit.
_RAW_UV = "_RAW_UV"
_GLB_HEADER, _GLB_CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")


@dataclass(frozen=True)
class SurfaceFile:
    """What a file says of a surface; arrays are in its own order."""

    path: Path
    kind: str
    """The format: obj, ply, stl, glb, gltf or off."""
    vertices: Float[np.ndarray, "vertices 3"]
    """float32, in the file's world coordinates."""
    faces: Int[np.ndarray, "faces 3"]
    uv: Float[np.ndarray, "vertices 2"] | None
    """float32, as the file has them; none where one of its bodies has none."""
    n_bodies: int
    """Parts with a material of their own, or placed on their own."""

    @property
    def v_points_down(self) -> bool:
        """Whether v counts from the top of the texture."""
        return self.kind in ("glb", "gltf")

    @property
    def corner_uv(self) -> Float[np.ndarray, "faces 3 2"] | None:
        """float64, v upward."""
        return None if self.uv is None else v_upward(self.uv, self.v_points_down)[self.faces]


def v_upward(uv: Float[np.ndarray, "*points 2"], v_points_down: bool) -> Float[np.ndarray, "*points 2"]:
    """Texture coordinates whose v counts from the bottom, as float64; the same turns them back."""
    u, v = uv[..., 0].astype(np.float64), uv[..., 1].astype(np.float64)
    return np.stack([u, 1 - v if v_points_down else v], axis=-1)


def read_surface(path: Path) -> SurfaceFile:
    """Read a mesh with its texture coordinates. Several bodies become one, polygons become fans of triangles; told.

    Raises:
        UserError: the file is no readable mesh (geometry/mesh.py), or has too many faces.
    """
    kind = checked_format(path)
    content = _with_raw_uv(path, kind)
    placed = list(bodies(read_scene(path, kind, content), path))
    mesh = joined([body for _, body in placed], path)
    check_mesh(mesh, path)
    if len(mesh.faces) > MOST_FACES:
        raise UserError(
            f"{path}: {len(mesh.faces):,} faces, at most {MOST_FACES:,} can be painted; simplify the mesh first"
        )
    if len(placed) > 1:
        log.info("%s: its %d bodies and their materials are painted as one", path, len(placed))
    _tell_polygons(path, kind, content)
    uv = [_uv_of(body, len(own.vertices)) for body, own in placed]
    known = [one for one in uv if one is not None]
    whole = np.concatenate(known).astype(np.float32) if len(known) == len(uv) else None
    return SurfaceFile(path, kind, mesh.vertices.astype(np.float32), mesh.faces, whole, len(placed))


def same_positions(mesh: TriangleMesh | SurfaceFile) -> Int[np.ndarray, "faces 3"]:
    """The faces with one number for each position, however often a file repeats it; none is left out."""
    _, number = np.unique(mesh.vertices, axis=0, return_inverse=True)
    return number.reshape(-1)[mesh.faces]


def gltf_tree(path: Path, content: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON of a glTF file, and what follows it in a binary one.

    Raises:
        UserError: it is no glTF 2.0.
    """
    try:
        if not content.startswith(b"glTF"):
            return json.loads(content), b""
        size, _ = _GLB_CHUNK.unpack_from(content, _GLB_HEADER.size)
        begin = _GLB_HEADER.size + _GLB_CHUNK.size
        return json.loads(content[begin : begin + size]), content[begin + size :]
    except (ValueError, struct.error) as error:
        raise UserError(f"{path}: not a readable glTF file: {error}") from error


def _with_raw_uv(path: Path, kind: str) -> bytes:
    """The file's bytes; of a glTF file with its texture coordinates under a second name that its reader leaves alone.

    By the first name trimesh gives them turned over, rounded by that, and only together with a material.
    """
    content = path.read_bytes()
    if kind not in ("glb", "gltf"):
        return content
    tree, binary = gltf_tree(path, content)
    meshes = tree.get("meshes", []) if isinstance(tree, dict) else []
    for primitive in [primitive for mesh in meshes for primitive in mesh.get("primitives", [])]:
        attributes = primitive.get("attributes", {})
        if "TEXCOORD_0" in attributes:
            attributes[_RAW_UV] = attributes["TEXCOORD_0"]
    text = json.dumps(tree).encode()
    if not content.startswith(b"glTF"):
        return text
    text += b" " * (-len(text) % 4)
    chunk = _GLB_CHUNK.pack(len(text), b"JSON") + text + binary
    return _GLB_HEADER.pack(b"glTF", 2, _GLB_HEADER.size + len(chunk)) + chunk


def _uv_of(body: Any, n_vertices: int) -> Float[np.ndarray, "vertices 2"] | None:
    raw = body.vertex_attributes.get(_RAW_UV)
    if raw is None:
        raw = getattr(body.visual, "uv", None)
    if raw is None or np.shape(raw) != (n_vertices, 2):
        return None
    raw = np.asarray(raw)
    # Whole numbers are shares of their type's largest (glTF 2.0, section 3.6.2.2).
    return raw / np.iinfo(raw.dtype).max if np.issubdtype(raw.dtype, np.integer) else raw


def _tell_polygons(path: Path, kind: str, content: bytes) -> None:
    if kind != "obj":
        return
    n_corners = [len(line.split()) - 1 for line in content.splitlines() if line.startswith((b"f ", b"f\t"))]
    if n_polygons := sum(n > 3 for n in n_corners):
        log.info("%s: %d polygons are split into fans of triangles", path, n_polygons)

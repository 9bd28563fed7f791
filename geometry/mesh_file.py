"""Mesh files of every format as bodies in world coordinates, and a clear word on every file that is none.

Only geometry is read: materials and pictures are not opened. Other files that a glTF file refers to (its buffers) are
read where they lie in its own folder or below, and never elsewhere.
"""

import io
import logging
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from core.errors import UserError
from geometry.file_body import FileBody, out_of_range, unreadable
from geometry.gltf_file import RAW_UV, with_raw_uv
from geometry.obj_file import read_obj
from geometry.off_file import read_off
from geometry.own_folder import OwnFolder

if TYPE_CHECKING:
    from trimesh.scene import Scene

FORMATS = ("obj", "ply", "stl", "glb", "gltf", "off")
#: How the archives begin that meshes are sent in: zip (also 3mf, usdz), gzip, bzip2, xz, 7z, rar, zstandard.
ARCHIVE_MARKS = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")
#: What a tar archive has within its first entry's header, and where.
TAR_MARK, TAR_OFFSET = b"ustar", 257
#: A binary STL file: 80 bytes of anything, the count of triangles, the triangles.
_STL_HEADER, _STL_TRIANGLE = 84, 50


def checked_format(path: Path) -> str:
    """The file's format by its ending, if it can be a mesh at all.

    Raises:
        UserError: it is missing, empty, an archive, or of another format.
    """
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if not stat.S_ISREG(path.stat().st_mode):
        raise UserError(f"{path}: not a file; give a mesh file ({', '.join(FORMATS)})")
    try:
        with path.open("rb") as file:
            start = file.read(TAR_OFFSET + len(TAR_MARK))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if not start:
        raise UserError(f"{path}: the file is empty")
    if start.startswith(ARCHIVE_MARKS) or start[TAR_OFFSET:] == TAR_MARK:
        raise UserError(f"{path}: an archive; unpack it and give the mesh file in it ({', '.join(FORMATS)})")
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UserError(f"{path}: '{path.suffix}' is no mesh format that is read here; save it as {', '.join(FORMATS)}")
    return kind


def read_bodies(path: Path, kind: str) -> list[FileBody]:
    """The bodies of a mesh file that have faces, in its order and each where its scene places it; at least one.

    Args:
        kind: as `checked_format` says.

    Raises:
        UserError: the file is broken, has no faces, names vertices that are not there, or refers to files elsewhere.
    """
    content = path.read_bytes()
    if kind == "obj":
        found = [read_obj(content, path)]
    elif kind == "off":
        found = [read_off(content, path)]
    else:
        found = list(_placed_bodies(_read_scene(path, kind, content), path))
    bodies = [body for body in found if len(body.faces)]
    if not bodies:
        raise UserError(f"{path}: no faces in it; a mesh of triangles is needed, not points or lines alone")
    return bodies


def _read_scene(path: Path, kind: str, content: bytes) -> "Scene":
    """The file as trimesh reads it, without materials."""
    import trimesh

    if kind in ("glb", "gltf"):
        content = with_raw_uv(path, content)
    if kind == "stl":
        _check_stl(content, path)
    talk = logging.getLogger("trimesh")
    level = talk.level
    talk.setLevel(logging.ERROR)  # it shows tracebacks for broken normals and colours, which nobody has asked for
    try:
        return trimesh.load_scene(
            io.BytesIO(content),  # pyright: ignore[reportArgumentType]
            file_type=kind,
            resolver=OwnFolder(path),  # pyright: ignore[reportArgumentType]
            process=False,
            validate=False,
            skip_materials=True,
        )
    except UserError:
        raise
    except Exception as error:  # trimesh's readers answer broken files with whatever their parsing ran into
        said = " ".join(str(error).split()) or type(error).__name__
        if "unexpected length" in said:
            said = "it is cut off, or binary with polygons of several sizes (save it as ASCII, or triangulate it)"
        raise unreadable(path, said) from error
    finally:
        talk.setLevel(level)


def _check_stl(content: bytes, path: Path) -> None:
    n_triangles = int.from_bytes(content[80:_STL_HEADER], "little")
    if len(content) == _STL_HEADER + n_triangles * _STL_TRIANGLE:
        return
    if not content.lstrip().lower().startswith(b"solid"):
        raise unreadable(path, f"{len(content):,} bytes are no {n_triangles:,} triangles, which it says it has")
    if b"endsolid" not in content.lower():
        raise unreadable(path, "it has no 'endsolid'; it is cut off, or no mesh")


def _placed_bodies(scene: "Scene", path: Path) -> Iterator[FileBody]:
    """Each body of a scene; a mirroring placement turns its faces over, so that they look out."""
    rank = {name: place for place, name in enumerate(scene.geometry)}
    nodes = scene.graph.nodes_geometry[::-1]  # trimesh walks a scene from its last node to its first
    nodes.sort(key=lambda node: rank[scene.graph[node][1]])
    for node in nodes:
        matrix, name = scene.graph[node]
        body = scene.geometry[name]
        faces = np.asarray(getattr(body, "faces", ()), dtype=np.int64)
        if not len(faces):
            continue
        vertices = np.asarray(body.vertices, dtype=np.float64)
        if vertices.shape[1] != 3:
            raise unreadable(path, f"its vertices have {vertices.shape[1]} coordinates, three are needed")
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise out_of_range(path)
        if not np.array_equal(matrix, np.eye(4)):  # a product with 1 would turn -0.0 into 0.0
            with np.errstate(invalid="ignore"):  # infinite coordinates are told later
                vertices = vertices @ matrix[:3, :3].T + matrix[:3, 3]
        n_corners = _ply_corners(body)
        faces = _in_file_order(faces, n_corners)
        mirrored = np.linalg.det(matrix[:3, :3]) < 0
        n_polygons = int((n_corners > 3).sum())
        yield FileBody(vertices, faces[:, ::-1] if mirrored else faces, _uv_of(body), n_polygons=n_polygons)


def _uv_of(body: Any) -> Float[np.ndarray, "vertices 2"] | None:
    raw = body.vertex_attributes.get(RAW_UV)
    if raw is None:
        raw = getattr(body.visual, "uv", None)
    if raw is None or np.shape(raw) != (len(body.vertices), 2):
        return None
    raw = np.asarray(raw)
    # Whole numbers are shares of their type's largest (glTF 2.0, section 3.6.2.2).
    return raw / np.iinfo(raw.dtype).max if np.issubdtype(raw.dtype, np.integer) else raw


def _ply_corners(body: Any) -> Int[np.ndarray, "polygons"]:
    """How many corners each face of a PLY file has; of other files nothing."""
    elements = body.metadata.get("_ply_raw", {})
    data = elements.get("face", {}).get("data")
    names = data.dtype.names if isinstance(data, np.ndarray) else data
    for name in names or ():
        if name in ("vertex_index", "vertex_indices") or len(names) == 1:
            polygons = data[name]["f1"] if isinstance(data, np.ndarray) else data[name]
            return np.array([len(polygon) for polygon in polygons], dtype=np.int64)
    return np.zeros(0, dtype=np.int64)


def _in_file_order(
    faces: Int[np.ndarray, "faces 3"], n_corners: Int[np.ndarray, "polygons"]
) -> Int[np.ndarray, "faces 3"]:
    """Faces as trimesh lists them brought back into the order of the polygons that they come from.

    It lists triangles first, then the first halves of quadrilaterals, then their second halves, then larger fans.
    """
    quads, larger = np.flatnonzero(n_corners == 4), np.flatnonzero(n_corners > 4)
    fans = np.repeat(larger, n_corners[larger] - 2)
    polygon = np.concatenate([np.flatnonzero(n_corners == 3), quads, quads, fans])
    return faces[np.argsort(polygon, kind="stable")] if len(polygon) == len(faces) else faces

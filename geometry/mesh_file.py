"""Reads mesh files of every format, in world coordinates and in the file's own order.

A file that cannot be read is refused with the reason.

Only geometry is read: materials and pictures are not opened. Other files that a glTF file refers to (its buffers) are
read where they lie in its own folder or below, and never elsewhere.
"""

import io
import logging
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from core.errors import UserError
from geometry.gltf_file import read_gltf
from geometry.mesh import Mesh, check_surface, joined
from geometry.obj_file import read_obj
from geometry.polygons import Polygons
from geometry.source_file import SourceFile, unreadable

#: How the archives begin that meshes are sent in: zip (also 3mf, usdz), gzip, bzip2, xz, 7z, rar, zstandard.
ARCHIVE_MARKS = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")
#: What a tar archive has within its first entry's header, and where.
TAR_MARK, TAR_OFFSET = b"ustar", 257
#: A binary STL file: 80 bytes of anything, the count of triangles, the triangles.
_STL_HEADER, _STL_TRIANGLE = 84, 50
#: Prefixes stand for what follows each position: texture coordinates, colour, normal. The counts may follow at once.
_OFF_HEADER = re.compile(rb"(?:\s|#[^\n]*\n)*(?:(?:ST)?C?N?OFF\b|OFF(?=\d))([ \t]+BINARY)?")
#: Names of texture coordinates at the vertices of a PLY file.
_PLY_UV = (("texture_u", "texture_v"), ("u", "v"), ("s", "t"))


def read_mesh(path: Path) -> Mesh:
    """All parts of a mesh file as one mesh, each where the file's scene places it, with everything in its order.

    Raises:
        UserError: naming the file and what is wrong: missing, empty, an archive, of another format, broken, without
            faces, with coordinates that are not finite, with faces of vertices that do not exist, without extent.
    """
    kind = checked_format(path)
    with np.errstate(invalid="ignore", over="ignore"):  # infinite coordinates and NaN are reported below
        parts = [part for part in _READERS[kind](path.read_bytes(), path) if len(part.faces)]
    if not parts:
        raise UserError(f"{path}: no faces in it; a mesh of triangles is needed, not points or lines alone")
    mesh = joined(parts)
    check_surface(mesh, path)
    return mesh


def checked_format(path: Path) -> str:
    """The file's format by its ending, if it can be a mesh at all.

    Raises:
        UserError: it is missing, empty, an archive, or of another format.
    """
    formats = ", ".join(_READERS)
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if not stat.S_ISREG(path.stat().st_mode):
        raise UserError(f"{path}: not a file; give a mesh file ({formats})")
    try:
        with path.open("rb") as file:
            start = file.read(TAR_OFFSET + len(TAR_MARK))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if not start:
        raise UserError(f"{path}: the file is empty")
    if start.startswith(ARCHIVE_MARKS) or start[TAR_OFFSET:] == TAR_MARK:
        raise UserError(f"{path}: an archive; unpack it and give the mesh file in it ({formats})")
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _READERS:
        raise UserError(f"{path}: '{path.suffix}' is not a mesh format that can be read; save it as {formats}")
    return kind


def read_ply(content: bytes, path: Path) -> list[Mesh]:
    """The polygons of a PLY file, with texture coordinates of its vertices or of its faces' corners."""
    from plyfile import PlyData

    try:
        ply = PlyData.read(io.BytesIO(content))
        vertices, faces = ply["vertex"].data, ply["face"].data if "face" in ply else {}
        positions = np.stack([vertices[axis] for axis in "xyz"], axis=-1).astype(np.float64)
        polygons = next((faces[name] for name in ("vertex_indices", "vertex_index") if name in _names(faces)), [])
        wedges = faces["texcoord"] if "texcoord" in _names(faces) else [()] * len(polygons)
        kept = [(polygon, wedge) for polygon, wedge in zip(polygons, wedges, strict=True) if len(polygon) > 2]
        corner, n_corners = _strung([polygon for polygon, _ in kept])
        uv, place = np.concatenate([*(wedge for _, wedge in kept), np.zeros(0)]).reshape(-1, 2), np.arange(len(corner))
        if len(uv) != len(corner) or not len(uv):
            pair = next((pair for pair in _PLY_UV if {*pair} <= {*_names(vertices)}), ())
            uv, place = np.stack([vertices[name] for name in pair], axis=-1) if pair else None, None
        named = tuple(re.findall(r"^TextureFile\s+(.+?)\s*$", "\n".join(ply.comments), re.MULTILINE))
    except Exception as error:  # plyfile raises whatever its parsing ran into
        raise unreadable(path, " ".join(str(error).split()) or type(error).__name__) from error
    return [Polygons(path, "ply", positions, corner, n_corners, uv, place, textures=named).mesh()]


def _names(table: Any) -> tuple[str, ...]:
    """The names of a structured array's columns."""
    return table.dtype.names or () if isinstance(table, np.ndarray) else ()


def _strung(polygons: Sequence[Any]) -> tuple[Int[np.ndarray, "corners"], Int[np.ndarray, "polygons"]]:
    """The corners of all polygons in one list, and how many each polygon has."""
    n_corners = np.array([len(polygon) for polygon in polygons], np.int64)
    return np.concatenate([*polygons, np.zeros(0)]).astype(np.int64), n_corners


def read_off(content: bytes, path: Path) -> list[Mesh]:
    """The polygons of an OFF file, the object file format of Geomview, as text.

    Why not trimesh's reader: it lists triangles before quadrilaterals, and stumbles over larger polygons.
    """
    header = _OFF_HEADER.match(content)
    if header is None:
        raise unreadable(path, "it does not begin with 'OFF'")
    if header[1]:
        raise unreadable(path, "it is binary OFF; save it as text")
    lines = [words for line in content[header.end() :].splitlines() if (words := line.partition(b"#")[0].split())]
    try:
        if not lines or len(lines[0]) < 2:
            raise ValueError("the counts of vertices and faces are missing")
        n_vertices, n_faces = int(lines[0][0]), int(lines[0][1])
        if min(n_vertices, n_faces) < 0 or len(lines) < 1 + n_vertices + n_faces:
            raise ValueError(f"it ends before its {n_vertices} vertices and {n_faces} faces")
        points = lines[1 : 1 + n_vertices]
        if any(len(point) < 3 for point in points):
            raise ValueError("a vertex has fewer than three numbers")
        positions = np.array([[float(number) for number in point[:3]] for point in points]).reshape(-1, 3)
        polygons = [_off_polygon(words) for words in lines[1 + n_vertices : 1 + n_vertices + n_faces]]
        corner, n_corners = _strung([polygon for polygon in polygons if len(polygon) > 2])  # else points and lines
    except (ValueError, OverflowError) as error:
        raise unreadable(path, str(error)) from error
    return [Polygons(path, "off", positions, corner, n_corners).mesh()]


def _off_polygon(words: list[bytes]) -> list[int]:
    """The corners of one face; what follows them is its colour."""
    n_corners = int(words[0])
    if not 0 <= n_corners < len(words):
        said = b" ".join(words)[:60].decode(errors="replace")
        raise ValueError(f"a face has not as many corners as it says: '{said}'")
    return [int(word) for word in words[1 : 1 + n_corners]]


def read_stl(content: bytes, path: Path) -> list[Mesh]:
    """The solids of an STL file, one after the other."""
    from trimesh.exchange.stl import load_stl

    n_triangles = int.from_bytes(content[80:_STL_HEADER], "little")
    if len(content) != _STL_HEADER + n_triangles * _STL_TRIANGLE:
        if not content.lstrip().lower().startswith(b"solid"):
            raise unreadable(path, f"its {len(content):,} bytes do not hold the {n_triangles:,} triangles announced")
        if b"endsolid" not in content.lower():
            raise unreadable(path, "it has no 'endsolid'; it is truncated, or not a mesh")
    talk = logging.getLogger("trimesh")
    level = talk.level
    talk.setLevel(logging.ERROR)  # it warns of broken normals, which are not used
    try:
        found = load_stl(io.BytesIO(content))
        solids = found["geometry"].values() if "geometry" in found else [found]
        return [_solid(np.asarray(one["vertices"], np.float64), path) for one in solids if len(one["vertices"])]
    except Exception as error:  # trimesh raises whatever its parsing ran into
        raise unreadable(path, " ".join(str(error).split()) or type(error).__name__) from error
    finally:
        talk.setLevel(level)


def _solid(corners: Float[np.ndarray, "corners 3"], path: Path) -> Mesh:
    """Triangles whose corners are listed one after the other."""
    number = np.arange(len(corners) // 3)
    return Mesh(corners, np.arange(len(corners)).reshape(-1, 3), source=SourceFile(path, "stl", number, 0 * number))


_READERS: dict[str, Callable[[bytes, Path], list[Mesh]]] = {
    "obj": read_obj,
    "ply": read_ply,
    "stl": read_stl,
    "glb": read_gltf,
    "gltf": read_gltf,
    "off": read_off,
}

"""Reads mesh files of every format, in world coordinates and in the file's own order.

A file that cannot be read is refused with the reason.

Only geometry is read: materials and pictures are not opened. Other files that a glTF file refers to (its buffers) are
read where they lie in its own folder or below, and never elsewhere.
"""

import io
import logging
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
from jaxtyping import Float

from core.errors import UserError
from geometry.gltf_scene import read_gltf
from geometry.mesh import Mesh, check_surface, joined
from geometry.obj_file import read_obj
from geometry.off_file import read_off
from geometry.ply_file import read_ply
from geometry.source_file import SourceFile, stands_in, unreadable

log = logging.getLogger(__name__)

#: Larger files are refused before they are read: text may take ten times its size in memory.
MOST_BYTES = 2**29
#: How the archives begin that meshes are sent in: zip (also 3mf, usdz), gzip, bzip2, xz, 7z, rar, zstandard.
ARCHIVE_MARKS = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")
#: What a tar archive has within its first entry's header, and where.
TAR_MARK, TAR_OFFSET = b"ustar", 257
#: A binary STL file: 80 bytes of anything, the count of triangles, the triangles.
_STL_HEADER, _STL_TRIANGLE = 84, 50
#: Formats that others read, by their endings, and how meshes come out of them.
_FOREIGN = {
    "3mf": "open it in a slicer, or in Blender with its 3MF extension,",
    **dict.fromkeys(("usd", "usda", "usdc", "usdz", "fbx", "dae", "abc", "x3d", "wrl"), "open it in Blender"),
    **dict.fromkeys(("blend", "max", "ma", "mb", "c4d", "skp", "3dm"), "open it in the program that made it"),
    **dict.fromkeys(("step", "stp", "iges", "igs", "brep"), "open it in a CAD program such as FreeCAD"),
}


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
    kind = path.suffix.lower().removeprefix(".")
    if told := stands_in(start):
        raise UserError(f"{path}: {told}")
    if kind in _FOREIGN:
        raise UserError(f"{path}: {kind.upper()} is not read here; {_FOREIGN[kind]} and save it as glb")
    if start.startswith(ARCHIVE_MARKS) or start[TAR_OFFSET:] == TAR_MARK:
        raise UserError(f"{path}: an archive; unpack it and give the mesh file in it ({formats})")
    if kind not in _READERS:
        raise UserError(f"{path}: '{path.suffix}' is not a mesh format that can be read; save it as {formats}")
    if (size := path.stat().st_size) > MOST_BYTES:
        raise UserError(
            f"{path}: {size / 2**20:,.0f} MiB, at most {MOST_BYTES >> 20} are read; simplify the mesh first"
        )
    return kind


def read_stl(content: bytes, path: Path) -> list[Mesh]:
    """The solids of an STL file, one after the other."""
    from trimesh.exchange.stl import load_stl

    n_triangles = int.from_bytes(content[80:_STL_HEADER], "little")
    n_bytes = _STL_HEADER + n_triangles * _STL_TRIANGLE
    if len(content) > n_bytes >= _STL_HEADER + _STL_TRIANGLE:
        log.info("%s: %s bytes behind its triangles are left out", path, f"{len(content) - n_bytes:,}")
        content = content[:n_bytes]
    if len(content) != n_bytes:
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
        raise unreadable(path, str(error) or type(error).__name__) from error
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
#: Endings of the files that can be read.
FORMATS = tuple(_READERS)

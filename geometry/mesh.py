"""Triangle meshes from files: all bodies in world coordinates, and a clear word on every file that is none.

Only geometry is read: materials and pictures are not opened. Other files that a glTF file refers to (its buffers) are
read where they lie in its own folder or below, and never elsewhere.
"""

import io
import logging
import re
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from core.errors import UserError

if TYPE_CHECKING:
    from trimesh.scene import Scene

log = logging.getLogger(__name__)

FORMATS = ("obj", "ply", "stl", "glb", "gltf", "off")
MOST_FACES = 2_000_000
#: How the archives begin that meshes are sent in: zip (also 3mf, usdz), gzip, bzip2, xz, 7z, rar, zstandard.
ARCHIVE_MARKS = (b"PK\x03\x04", b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf", b"Rar!", b"\x28\xb5\x2f\xfd")
#: trimesh takes the 0 of a face for the last vertex: OBJ counts from 1.
_OBJ_ZERO_INDEX = re.compile(rb"^f(?:[^\n]*\s)?0(?:[/\s]|\Z)", re.MULTILINE)


@dataclass(frozen=True)
class TriangleMesh:
    """Vertices and faces, nothing else. Bodies may overlap, and surfaces may be open."""

    vertices: Float[np.ndarray, "vertices 3"]
    """float64, in the file's own coordinates unless said otherwise."""
    faces: Int[np.ndarray, "faces 3"]
    """int64, counter-clockwise seen from outside, as far as the file keeps that."""

    def merged(self) -> "TriangleMesh":
        """The same surface with one vertex for each position; faces that have lost a corner by that are left out.

        Formats such as STL give each face its own three vertices; where surfaces hang together is seen only now.
        """
        _, first, index = np.unique(self.vertices, axis=0, return_index=True, return_inverse=True)
        faces = index.reshape(-1)[self.faces]
        a, b, c = faces.T
        return TriangleMesh(self.vertices[first], faces[(a != b) & (b != c) & (c != a)])

    def bounds_volume(self) -> bool:
        """Whether every edge of the merged mesh has as many faces on one side as on the other."""
        faces = self.merged().faces
        edge, direction = directed_edges(faces)
        return bool(len(faces)) and not np.bincount(edge, weights=direction).any()


def directed_edges(faces: Int[np.ndarray, "faces 3"]) -> tuple[Int[np.ndarray, "sides"], Int[np.ndarray, "sides"]]:
    """The number of the edge that each side of each face runs along, face after face, and 1 or -1 for its direction."""
    start, end = faces[:, [0, 1, 2]].reshape(-1), faces[:, [1, 2, 0]].reshape(-1)
    pair = np.minimum(start, end) * (faces.max(initial=0) + 1) + np.maximum(start, end)
    return np.unique(pair, return_inverse=True)[1].reshape(-1), np.where(start < end, 1, -1)


def load_mesh(path: Path, most_faces: int = MOST_FACES) -> TriangleMesh:
    """Read all bodies of a mesh file, each where the file's scene places it.

    Args:
        most_faces: a larger mesh is decimated to so many, with a notice.

    Raises:
        UserError: naming the file and what is wrong: missing, empty, an archive, of another format, broken, without
            faces, with coordinates that are no numbers, with faces of vertices that are not there, without extent.
    """
    kind = checked_format(path)
    mesh = joined([placed for _, placed in bodies(read_scene(path, kind), path)], path)
    check_mesh(mesh, path)
    if len(mesh.faces) > most_faces:
        log.warning("%s: %s faces, decimated to %s", path, f"{len(mesh.faces):,}", f"{most_faces:,}")
        return decimated(mesh, most_faces)
    return mesh


def decimated(mesh: TriangleMesh, n_faces: int) -> TriangleMesh:
    """About the same surface with at most `n_faces` faces, by quadric edge collapse (Garland and Heckbert 1997)."""
    import fast_simplification

    merged = mesh.merged()
    if len(merged.faces) <= n_faces:
        return merged
    vertices, faces = fast_simplification.simplify(merged.vertices, merged.faces, target_count=n_faces)[:2]
    return TriangleMesh(vertices.astype(np.float64), faces.astype(np.int64))


def checked_format(path: Path) -> str:
    """The file's format by its ending, if it can be a mesh at all."""
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if not stat.S_ISREG(path.stat().st_mode):
        raise UserError(f"{path}: not a file; give a mesh file ({', '.join(FORMATS)})")
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    if not start:
        raise UserError(f"{path}: the file is empty")
    if start.startswith(ARCHIVE_MARKS):
        raise UserError(f"{path}: an archive; unpack it and give the mesh file in it ({', '.join(FORMATS)})")
    kind = path.suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise UserError(f"{path}: '{path.suffix}' is no mesh format that is read here; save it as {', '.join(FORMATS)}")
    return kind


def read_scene(path: Path, kind: str, content: bytes | None = None) -> "Scene":
    """The file as trimesh reads it, without materials.

    Args:
        content: what to read in the place of the file's own bytes.

    Raises:
        UserError: it is broken, or refers to files outside of its folder.
    """
    import trimesh

    try:
        content = path.read_bytes() if content is None else content
        if kind == "obj":
            _check_obj_indices(content, path)
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
        if (kind == "obj" and isinstance(error, IndexError)) or "face index outside" in said:
            raise _out_of_range(path) from error
        raise UserError(f"{path}: not a readable {kind.upper()} file: {said}") from error


def _check_obj_indices(content: bytes, path: Path) -> None:
    if found := _OBJ_ZERO_INDEX.search(content):
        line = content.count(b"\n", 0, found.start()) + 1
        raise UserError(f"{path}: face indices out of range: line {line} names vertex 0, OBJ counts from 1")


def _out_of_range(path: Path) -> UserError:
    return UserError(f"{path}: face indices out of range: a face names a vertex that the file does not have")


class OwnFolder:
    """Gives trimesh's readers the files that a mesh refers to, if they lie in its folder or below."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, name: str) -> bytes:
        """The content of a file.

        Raises:
            UserError: it lies elsewhere, or is not there.
        """
        folder = self.path.parent.resolve()
        wanted = (folder / name.strip()).resolve()  # follows links, so that none leads out of the folder
        if not wanted.is_relative_to(folder):
            raise UserError(f"{self.path}: refers to '{name}' outside of its folder, which is not opened")
        if not wanted.is_file():
            raise UserError(f"{self.path}: refers to '{name}', which is not there")
        return wanted.read_bytes()

    __getitem__ = get


def joined(placed: Sequence[TriangleMesh], path: Path) -> TriangleMesh:
    """Bodies as one mesh, in their order.

    Raises:
        UserError: there is none.
    """
    if not placed:
        raise UserError(f"{path}: no faces in it; a mesh of triangles is needed, not points or lines alone")
    first = np.cumsum([0, *(len(body.vertices) for body in placed[:-1])])
    return TriangleMesh(
        np.concatenate([body.vertices for body in placed]),
        np.concatenate([body.faces + offset for body, offset in zip(placed, first, strict=True)]),
    )


def bodies(scene: "Scene", path: Path) -> Iterator[tuple[Any, TriangleMesh]]:
    """Each body of a scene as the reader has it, and in world coordinates.

    A mirroring placement turns its faces over, so that they look out.

    Raises:
        UserError: faces of vertices that are not there.
    """
    for node in scene.graph.nodes_geometry:
        matrix, name = scene.graph[node]
        body = scene.geometry[name]
        faces = np.asarray(getattr(body, "faces", ()), dtype=np.int64)
        if not len(faces):
            continue
        vertices = np.asarray(body.vertices, dtype=np.float64)
        if faces.min() < 0 or faces.max() >= len(vertices):
            raise _out_of_range(path)
        mirrored = np.linalg.det(matrix[:3, :3]) < 0
        with np.errstate(invalid="ignore"):  # infinite coordinates are told by check_mesh
            there = vertices @ matrix[:3, :3].T + matrix[:3, 3]
        yield body, TriangleMesh(there, faces[:, ::-1] if mirrored else faces)


def check_mesh(mesh: TriangleMesh, path: Path) -> None:
    """Refuse what is no body.

    Raises:
        UserError: coordinates that are no numbers, or all of them the same.
    """
    used = mesh.vertices[np.unique(mesh.faces)]
    if not np.isfinite(used).all():
        n_bad = int((~np.isfinite(used)).any(axis=1).sum())
        raise UserError(f"{path}: {n_bad} vertices are not finite (NaN or infinity); repair the mesh where it was made")
    if not np.ptp(used, axis=0).any():
        raise UserError(f"{path}: zero extent: all of its vertices lie in one point")

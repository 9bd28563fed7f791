"""A triangle mesh in memory, and any mesh file as one: all of its bodies in world coordinates."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from core.errors import UserError
from geometry.file_body import FileBody
from geometry.mesh_file import checked_format, read_bodies

log = logging.getLogger(__name__)

MOST_FACES = 2_000_000
#: Faces whose area is a smaller share of their longest edges' squares are lines: float32 does not place them better.
_THINNEST = 1e-6


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
    """Read all bodies of a mesh file, each where the file's scene places it; vertices without a face are left out.

    Args:
        most_faces: a larger mesh is decimated to so many, with a notice.

    Raises:
        UserError: naming the file and what is wrong: missing, empty, an archive, of another format, broken, without
            faces, with coordinates that are no numbers, with faces of vertices that are not there, without extent.
    """
    mesh = joined(read_bodies(path, checked_format(path)))
    check_mesh(mesh, path)
    used, number = np.unique(mesh.faces, return_inverse=True)
    mesh = TriangleMesh(mesh.vertices[used], number.reshape(-1, 3))
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


def joined(bodies: Sequence[FileBody]) -> TriangleMesh:
    """Bodies as one mesh, in their order; at least one."""
    first = np.cumsum([0, *(len(body.vertices) for body in bodies[:-1])])
    return TriangleMesh(
        np.concatenate([body.vertices for body in bodies]),
        np.concatenate([body.faces + offset for body, offset in zip(bodies, first, strict=True)]),
    )


def check_mesh(mesh: TriangleMesh, path: Path) -> None:
    """Refuse what has no surface that could be computed with in float32.

    Raises:
        UserError: coordinates that are no numbers or too large, all of them the same, or all faces without area.
    """
    used, number = np.unique(mesh.faces, return_inverse=True)
    points = mesh.vertices[used]
    if not np.isfinite(points).all():
        n_bad = int((~np.isfinite(points)).any(axis=1).sum())
        raise UserError(f"{path}: {n_bad} vertices are not finite (NaN or infinity); repair the mesh where it was made")
    least, most = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    if (largest := float(np.abs(points).max())) > most:
        raise UserError(f"{path}: coordinates up to {largest:.3g}, at most {most:.2g} can be held; scale it down")
    points = points.astype(np.float32).astype(np.float64)
    if np.ptp(points, axis=0).max() < least:
        raise UserError(f"{path}: zero extent: all of its vertices lie in one point, as float32 holds them")
    corners = points[number.reshape(-1, 3)]
    edges = corners - np.roll(corners, 1, axis=1)
    longest = (edges**2).sum(axis=-1).max(axis=-1)
    area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=-1) / 2
    if area.sum() <= _THINNEST * longest.sum():
        raise UserError(f"{path}: zero area: its faces are lines or points; give it faces with three corners apart")

"""A mesh file as something to be painted: its surface with its texture coordinates, exactly as the file has them.

The surface is in the file's own (world) coordinates. Texture coordinates are kept in the file's words: glTF counts v
downward from the top of a texture, all others upward from its bottom, and 1 - v is not always exact.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from core.errors import UserError
from geometry.file_body import NO_UV, SOME_UV, FileBody
from geometry.mesh import TriangleMesh, check_mesh, joined
from geometry.mesh_file import checked_format, read_bodies

log = logging.getLogger(__name__)

#: More faces are refused: to decimate them would not leave them as they are.
MOST_FACES = 500_000


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
    """float32, as the file has them; none where one of its faces has none."""
    n_bodies: int
    """Parts with a material of their own, or placed on their own."""
    without_uv: str = NO_UV
    """Why there are no texture coordinates, where there are none."""

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
    bodies = read_bodies(path, kind)
    mesh = joined(bodies)
    check_mesh(mesh, path)
    if len(mesh.faces) > MOST_FACES:
        raise UserError(
            f"{path}: {len(mesh.faces):,} faces, at most {MOST_FACES:,} can be painted; simplify the mesh first"
        )
    n_bodies = sum(body.n_materials for body in bodies)
    if n_bodies > 1:
        log.info("%s: its %d bodies and their materials are painted as one", path, n_bodies)
    if n_polygons := sum(body.n_polygons for body in bodies):
        log.info("%s: %d polygons are split into fans of triangles", path, n_polygons)
    with np.errstate(over="ignore"):  # vertices without a face are not checked
        vertices = mesh.vertices.astype(np.float32)
    return SurfaceFile(path, kind, vertices, mesh.faces, _joined_uv(bodies), n_bodies, _without_uv(bodies))


def same_positions(mesh: TriangleMesh | SurfaceFile) -> Int[np.ndarray, "faces 3"]:
    """The faces with one number for each position, however often a file repeats it; none is left out."""
    _, number = np.unique(mesh.vertices, axis=0, return_inverse=True)
    return number.reshape(-1)[mesh.faces]


def _joined_uv(bodies: Sequence[FileBody]) -> Float[np.ndarray, "vertices 2"] | None:
    known = [body.uv for body in bodies if body.uv is not None]
    if len(known) < len(bodies):
        return None
    with np.errstate(over="ignore"):  # infinite ones are told where they are to be used
        return np.concatenate(known).astype(np.float32)


def _without_uv(bodies: Sequence[FileBody]) -> str:
    reasons = {body.without_uv for body in bodies if body.uv is None}
    some = reasons == {NO_UV} and any(body.uv is not None for body in bodies)
    return SOME_UV if some else max(reasons, default=NO_UV)

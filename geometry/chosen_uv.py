"""Which texture coordinates a mesh is painted on: its file's own, or those of a new atlas.

What a glTF scene places several times has one set of texture coordinates in its file, so it is unwrapped once, and all
copies look alike.
"""

import logging
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from core.errors import UserError
from geometry.mesh import Mesh
from geometry.unwrap import unwrap
from geometry.uv_check import uv_fault

log = logging.getLogger(__name__)

WantedUv = Literal["auto", "own", "atlas"]


def chosen_uv(
    mesh: Mesh, wanted: WantedUv, texture_size: int, max_faces: int, time_limit_s: float
) -> Float[np.ndarray, "faces 3 2"]:
    """Texture coordinates of the corners of a mesh that was read, v upward: its file's own or a new atlas's.

    Args:
        texture_size: texels along each side, for which an atlas is packed.
        max_faces: more are not unwrapped.
        time_limit_s: after which unwrapping is given up.

    Raises:
        UserError: the file's own were asked for and cannot be used, or it cannot be unwrapped.
    """
    own, path, first = mesh.corner_uv, mesh.file.path, mesh.file.first_copy()
    once = np.flatnonzero(first == np.arange(len(first)))
    if len(once) < len(first):
        log.info("%s: what its scene places several times is painted once: all copies look alike", path)
    fault = mesh.file.without_uv if own is None else uv_fault(mesh.corners[once], own[once])
    if wanted == "own" and fault is not None:
        raise UserError(f"{path}: {fault}; give system.geometry.uv=auto to have it unwrapped")
    if wanted != "atlas" and fault is None and own is not None:
        return own
    log.info("%s: %s; it is unwrapped", path, fault or "a new atlas is wanted")
    corner_uv = _unwrapped(mesh, once, texture_size, max_faces, time_limit_s)[np.searchsorted(once, first)]
    if (corner := mesh.file.corner) is not None:
        turned = (corner != corner[first]).any(axis=1)  # copies that are mirrored
        corner_uv[turned] = corner_uv[turned, ::-1]
    return corner_uv


def _unwrapped(
    mesh: Mesh, once: Int[np.ndarray, "once"], texture_size: int, max_faces: int, time_limit_s: float
) -> Float[np.ndarray, "once 3 2"]:
    # One vertex for each position, of those that faces use: the others may hold anything, even NaN.
    number, path = mesh.position[mesh.faces[once]], mesh.file.path
    bare = Mesh(np.unique(mesh.vertices, axis=0), number).with_faces(number)
    try:
        unwrapped, atlas = unwrap(bare, texture_size, padding=2, max_faces=max_faces, time_limit_s=time_limit_s)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    log.info("%s: %d charts (%.1f s)", path, atlas.n_charts, atlas.seconds)
    corner_uv = unwrapped.corner_uv
    assert corner_uv is not None
    return corner_uv

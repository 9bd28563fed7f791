"""Unit normals at vertices: of a smooth surface, or of one with creases."""

import numpy as np
from jaxtyping import Bool, Float, Int

from geometry.mesh import Mesh, area_vectors, face_normals

#: Faces around a point that meet at less than this angle are one smooth surface.
CREASE_DEG = 40.0


def smooth_normals(mesh: Mesh) -> Float[np.ndarray, "vertices 3"]:
    """Means of the faces around each vertex, weighted by area; +y where a vertex has no area around it."""
    return _means(mesh, area_vectors(mesh.corners)[:, None].repeat(3, axis=1), least=0.0)


def creased_normals(mesh: Mesh) -> Float[np.ndarray, "vertices 3"]:
    """Means over the faces' corners at each vertex; vertices that a file doubles at a crease keep their own."""
    return _means(mesh, corner_normals(mesh.corners, mesh.position[mesh.faces]), least=1e-12)


def corner_normals(
    corners: Float[np.ndarray, "faces 3 3"],
    position: Int[np.ndarray, "faces 3"],
    turned: Bool[np.ndarray, "faces"] | None = None,
) -> Float[np.ndarray, "faces 3 3"]:
    """Normals at the faces' corners: the surface's where it is smooth there, the face's own at a crease.

    Args:
        position: for each corner a number that it shares with all corners in the same place.
        turned: faces whose normal is to be turned over.

    Source: Thuermer and Wuethrich, Computing Vertex Normals from Polygonal Facets (1998).
    """
    own = face_normals(corners)
    if turned is not None:
        own[turned] *= -1
    around = np.zeros((int(position.max()) + 1, 3))
    # Weighted by the angle at the corner, a box's corner looks evenly along its three faces, however these are split.
    for corner, angle in enumerate(_angles(corners).T):
        np.add.at(around, position[:, corner], angle[:, None] * own)
    around /= np.maximum(np.linalg.norm(around, axis=-1, keepdims=True), 1e-300)
    smooth = around[position]
    alike = (smooth * own[:, None]).sum(axis=-1, keepdims=True) > np.cos(np.radians(CREASE_DEG))
    return np.where(alike, smooth, own[:, None])


def _means(mesh: Mesh, at_corners: Float[np.ndarray, "faces 3 3"], least: float) -> Float[np.ndarray, "vertices 3"]:
    """Unit vectors along the sums of corners' vectors at each vertex; +y where a sum is no longer than `least`."""
    sums = np.zeros((len(mesh.vertices), 3))
    for corner in range(3):
        np.add.at(sums, mesh.faces[:, corner], at_corners[:, corner])
    length = np.linalg.norm(sums, axis=-1, keepdims=True)
    return np.where(length > least, sums / np.maximum(length, 1e-300), [0.0, 1.0, 0.0]).astype(np.float32)


def _angles(corners: Float[np.ndarray, "faces 3 3"]) -> Float[np.ndarray, "faces 3"]:
    """Of the faces at their corners, in radians."""
    ahead, back = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    return np.arctan2(np.linalg.norm(np.cross(ahead, back), axis=-1), (ahead * back).sum(axis=-1))

"""The bodies of a mesh turned outward, so that its winding number counts how many of them a point is in.

Words used here:
    patch     faces that hang together over edges which two faces share.
    body      a patch without a border: it encloses a volume, a negative one where its faces look inward.
    cavity    an inward body that lies within another one: a hollow, which is right as it is.
"""

import numpy as np
from jaxtyping import Bool, Float, Int

from geometry.mesh import Mesh, face_normals, signed_volumes

# How far off a face the looks for a surrounding body start, in shares of the mesh's extent.
_OFF_FACE = 1e-5


def turned_outward(mesh: Mesh) -> tuple[Mesh, int]:
    """The merged mesh with consistent faces in each patch and no body inside out, and how many faces were turned.

    A patch with a border keeps the direction that most of its faces have.
    """
    import igl

    merged = mesh.merged()
    oriented, patch = (np.asarray(found, dtype=np.int64) for found in igl.bfs_orient(merged.faces))
    # Each row of `oriented` holds the same corners as before; turned over, their order is an odd permutation.
    kept = _same_direction(oriented, merged.faces)
    n_patches = int(patch.max(initial=-1)) + 1
    agreeing = np.bincount(patch, weights=np.where(kept, 1.0, -1.0), minlength=n_patches)
    oriented = _reversed_where(oriented, (agreeing < 0)[patch])
    corners = (merged.vertices - merged.vertices.mean(axis=0))[oriented]
    volume = np.bincount(patch, weights=signed_volumes(corners), minlength=n_patches)
    inward = _is_body(oriented, patch, n_patches) & (volume < 0)
    if inward.any():
        all_outward = _reversed_where(oriented, inward[patch])
        inward &= ~_is_surrounded(merged.vertices, all_outward, patch, inward)
        oriented = _reversed_where(oriented, inward[patch])
    n_turned = int((~_same_direction(oriented, merged.faces)).sum())
    return Mesh(merged.vertices, oriented), n_turned


def encloses_volume(mesh: Mesh) -> bool:
    """Whether every edge of the merged mesh has as many faces on one side as on the other."""
    faces = mesh.merged().faces
    edge, direction = _directed_edges(faces)
    return bool(len(faces)) and not np.bincount(edge, weights=direction).any()


def _directed_edges(faces: Int[np.ndarray, "faces 3"]) -> tuple[Int[np.ndarray, "sides"], Int[np.ndarray, "sides"]]:
    """The number of the edge that each side of each face runs along, face after face, and 1 or -1 for its direction."""
    start, end = faces[:, [0, 1, 2]].reshape(-1), faces[:, [1, 2, 0]].reshape(-1)
    pair = np.minimum(start, end) * (faces.max(initial=0) + 1) + np.maximum(start, end)
    return np.unique(pair, return_inverse=True)[1].reshape(-1), np.where(start < end, 1, -1)


def _same_direction(faces: Int[np.ndarray, "faces 3"], others: Int[np.ndarray, "faces 3"]) -> Bool[np.ndarray, "faces"]:
    """Whether each face lists its corners in the same cyclic order as the other face of the same corners."""
    return np.any([(np.roll(others, turn, axis=1) == faces).all(axis=1) for turn in range(3)], axis=0)


def _reversed_where(faces: Int[np.ndarray, "faces 3"], turned: Bool[np.ndarray, "faces"]) -> Int[np.ndarray, "faces 3"]:
    return np.where(turned[:, None], faces[:, ::-1], faces)


def _is_body(
    faces: Int[np.ndarray, "faces 3"], patch: Int[np.ndarray, "faces"], n_patches: int
) -> Bool[np.ndarray, "patches"]:
    """Whether each patch has no border: along each of its edges, as many sides run forward as backward."""
    edge, direction = _directed_edges(faces)
    of_patch, index = np.unique(edge * n_patches + np.repeat(patch, 3), return_inverse=True)
    uneven = np.bincount(index.reshape(-1), weights=direction) != 0
    closed = np.ones(n_patches, dtype=bool)
    closed[of_patch[uneven] % n_patches] = False
    return closed


def _is_surrounded(
    vertices: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    patch: Int[np.ndarray, "faces"],
    asked: Bool[np.ndarray, "patches"],
) -> Bool[np.ndarray, "patches"]:
    """Whether each of the asked bodies lies within others, where all look outward: nearly all points off its faces."""
    import igl

    looked = np.flatnonzero(asked[patch])
    corners = vertices[faces[looked]]
    points = corners.mean(axis=1) + face_normals(corners) * _OFF_FACE * float(np.ptp(vertices, axis=0).max())
    inside = np.asarray(igl.fast_winding_number(vertices, faces, points)) > 0.5
    n_inside = np.bincount(patch[looked], weights=inside, minlength=len(asked))
    return n_inside > 0.9 * np.bincount(patch[looked], minlength=len(asked)).clip(1)

"""Fewer faces for nearly the same surface."""

import dataclasses

import numpy as np

from core.errors import require
from geometry.mesh import Mesh
from geometry.surface_pieces import is_closed

#: How eagerly faces are merged. Too gently, and the budget is missed; more eagerly, and more edges are folded onto
#: others (one in 3,000 with the library's own 7).
AGGRESSIVENESS = (3, 5, 7)
#: How far glued vertices are moved apart, as a share of the way into their faces.
APART = 1e-3


def simplified(mesh: Mesh, max_faces: int) -> Mesh:
    """The mesh with `max_faces` faces at most, those merged first whose loss moves the surface least.

    Marching cubes spends as many faces on a flat side as on an ear. A mesh within the budget comes back as it is; a
    closed one stays closed wherever one of a few attempts can do it. Of the others, positions and faces alone are kept.

    Source: Garland and Heckbert, Surface simplification using quadric error metrics (1997), in fast-simplification.
    """
    import fast_simplification

    require(max_faces >= 4, f"max_faces: at least 4, got {max_faces}")
    if len(mesh.faces) <= max_faces:
        return mesh
    closed = is_closed(mesh.faces)
    left = mesh
    for aggressiveness in AGGRESSIVENESS:
        points, triangles, *_ = fast_simplification.simplify(
            np.ascontiguousarray(mesh.vertices, np.float64),
            np.ascontiguousarray(mesh.faces, np.int32),
            target_count=max_faces,  # faces that are left
            agg=aggressiveness,
        )
        left = unglued(Mesh(points.astype(mesh.vertices.dtype), triangles.astype(np.int64)))
        if len(triangles) <= max_faces and (not closed or is_closed(left.faces)):
            break
    return left


def unglued(mesh: Mesh) -> Mesh:
    """Parts that touch along an edge, which more than two faces then share, or in a vertex, drawn apart.

    A vertex where they touch becomes as many as fans of faces meet there, a fan being what one walks through around it
    without crossing such an edge. All but one move a thousandth of the way into their own fan, so that no reader who
    joins equal positions glues them again. A mesh without such places comes back as it is.
    """
    import igl

    faces, vertex = (np.asarray(found, dtype=np.int64) for found in igl.split_nonmanifold(mesh.faces))
    further = np.ones(len(vertex), dtype=bool)
    further[np.unique(vertex, return_index=True)[1]] = False
    if not further.any():
        return mesh
    middles = np.zeros((len(vertex), 3))
    np.add.at(middles, faces, mesh.corners.mean(axis=1)[:, None])
    middles /= np.bincount(faces.reshape(-1))[:, None]
    apart = mesh.with_vertices(vertex, faces)
    points = np.where(further[:, None], apart.vertices + APART * (middles - apart.vertices), apart.vertices)
    return dataclasses.replace(apart, vertices=points.astype(mesh.vertices.dtype))

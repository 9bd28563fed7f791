"""Fewer faces for nearly the same surface."""

import numpy as np
from jaxtyping import Float, Int

from core.errors import require
from geometry.surface_pieces import is_closed

#: How eagerly faces are merged. Too gently, and the budget is missed; more eagerly, and more edges are folded onto
#: others (one in 3,000 with the library's own 7).
AGGRESSIVENESS = (3, 5, 7)
#: How far glued vertices are moved apart, as a share of the way into their faces.
APART = 1e-3

Mesh = tuple[Float[np.ndarray, "left 3"], Int[np.ndarray, "left_faces 3"]]


def simplified(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"], max_faces: int) -> Mesh:
    """The mesh with `max_faces` faces at most, those merged first whose loss moves the surface least.

    Marching cubes spends as many faces on a flat side as on an ear. A mesh within the budget comes back as it is; a
    closed one stays closed wherever one of a few attempts can do it.

    Source: Garland and Heckbert, Surface simplification using quadric error metrics (1997), in fast-simplification.
    """
    import fast_simplification

    require(max_faces >= 4, f"max_faces: at least 4, got {max_faces}")
    if len(faces) <= max_faces:
        return vertices, faces
    closed = is_closed(faces)
    left = vertices, faces
    for aggressiveness in AGGRESSIVENESS:
        points, triangles, *_ = fast_simplification.simplify(
            np.ascontiguousarray(vertices, np.float64),
            np.ascontiguousarray(faces, np.int32),
            target_count=max_faces,  # faces that are left
            agg=aggressiveness,
        )
        left = unglued(points.astype(np.float32), triangles.astype(np.int64))
        if len(triangles) <= max_faces and (not closed or is_closed(left[1])):
            break
    return left


def unglued(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> Mesh:
    """Parts that touch along an edge, which more than two faces then share, drawn apart.

    Each end of such an edge becomes as many vertices as fans of faces meet there, a fan being what one walks through
    around the vertex without crossing the edge. The new vertices move a thousandth of the way into their own fan, so
    that no reader who joins equal positions glues them again.
    """
    ends = np.sort(np.stack([faces, np.roll(faces, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    edges, n_faces = np.unique(ends, axis=0, return_counts=True)
    glued = {(int(a), int(b)) for a, b in edges[n_faces > 2]}
    points, faces = list(vertices), faces.copy()
    for vertex in sorted({end for edge in glued for end in edge}):
        around = np.flatnonzero((faces == vertex).any(axis=1))
        for fan in _fans(vertex, faces, around, glued)[1:]:
            middle = np.mean([points[corner] for corner in faces[fan].ravel()], axis=0)
            faces[fan] = np.where(faces[fan] == vertex, len(points), faces[fan])
            points.append(vertices[vertex] + APART * (middle - vertices[vertex]))
    return np.stack(points).astype(np.float32), faces


def _fans(
    vertex: int, faces: Int[np.ndarray, "faces 3"], around: Int[np.ndarray, "around"], glued: set[tuple[int, int]]
) -> list[list[int]]:
    """The faces around a vertex in groups that hang together through edges which are not glued."""
    through: dict[int, list[int]] = {}
    for face in around.tolist():
        for other in faces[face].tolist():
            edge = (min(vertex, other), max(vertex, other))
            if other != vertex and edge not in glued:
                through.setdefault(other, []).append(face)
    fans = [{face} for face in around.tolist()]
    for neighbours in through.values():
        joined = set().union(*(fan for fan in fans if fan & set(neighbours)))
        fans = [fan for fan in fans if not fan & joined] + [joined]
    return sorted(sorted(fan) for fan in fans)

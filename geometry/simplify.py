"""Fewer faces for nearly the same surface."""

import numpy as np
from jaxtyping import Float, Int

from core.errors import require
from geometry.surface_pieces import is_closed

#: How eagerly faces are merged. Too gently, and the budget is missed; the library's own 7 folds one edge in 10,000 onto
#: another, which four faces then share.
AGGRESSIVENESS = (3, 5, 7)

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
    closed, attempts = is_closed(faces), []
    for aggressiveness in AGGRESSIVENESS:
        points, triangles = fast_simplification.simplify(
            np.ascontiguousarray(vertices, np.float32),
            np.ascontiguousarray(faces, np.int32),
            target_count=max_faces,  # faces that are left
            agg=aggressiveness,
        )
        attempts.append((points.astype(np.float32), triangles.astype(np.int64)))
        if len(triangles) <= max_faces and (not closed or is_closed(triangles)):
            return attempts[-1]
    return attempts[-1]

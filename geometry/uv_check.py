"""Whether a mesh's own texture coordinates can hold a painting, and if not, why."""

import numpy as np
from jaxtyping import Float

from geometry.mesh import area_vectors
from geometry.texels import texels_of_corners

#: Share of the painted texture that may be covered twice, and of the surface that may have no texture, before a mesh's
#: own coordinates are given up.
MOST_OVERLAP, MOST_WITHOUT_AREA = 0.02, 0.02
#: A face that is smaller in the texture has no room for any colour of its own (a millionth of a texel of 4096).
SMALLEST_AREA = 1e-13
#: Looks into the texture along each of its sides.
N_LOOKS = 512
#: A face that reaches over more repetitions than this lies on top of itself.
MOST_REPEATS = 2.0
#: How the fault begins that a painting can live with, where what lies on one place may look alike.
OVERLAPS = "its texture coordinates overlap"


def uv_fault(corners: Float[np.ndarray, "faces 3 3"], corner_uv: Float[np.ndarray, "faces 3 2"]) -> str | None:
    """Why texture coordinates cannot be used: no surface, not finite, degenerate, overlapping; None where they can.

    Args:
        corners: positions of the faces' corners.
        corner_uv: their texture coordinates; beyond [0, 1] the texture repeats.
    """
    area = np.linalg.norm(area_vectors(corners), axis=1) / 2
    if not area.sum() > 0:
        return "its faces have zero area"
    n_bad = int((~np.isfinite(corner_uv)).any(axis=(1, 2)).sum())
    if n_bad:
        return f"{n_bad} faces have texture coordinates that are not finite (NaN or infinity)"
    edge, other = corner_uv[:, 1] - corner_uv[:, 0], corner_uv[:, 2] - corner_uv[:, 0]
    uv_area = np.abs(edge[:, 0] * other[:, 1] - edge[:, 1] * other[:, 0]) / 2
    flat = float(area[uv_area < SMALLEST_AREA].sum() / area.sum())
    if flat > MOST_WITHOUT_AREA:
        return f"its texture coordinates are degenerate: {flat:.0%} of the surface has no area in the texture"
    overlap = overlapping_share(corner_uv[uv_area >= SMALLEST_AREA], float(uv_area.sum()))
    if overlap > MOST_OVERLAP:
        return f"{OVERLAPS}: {overlap:.0%} of what they cover is covered twice"
    return None


def overlapping_share(corner_uv: Float[np.ndarray, "faces 3 2"], uv_area: float) -> float:
    """1 - (covered area of the repeating texture) / (sum of the faces' areas), from looks on a grid.

    Args:
        uv_area: the sum of the faces' areas.
    """
    if float(np.ptp(corner_uv, axis=1).max()) > MOST_REPEATS:
        return 1.0
    covered = texels_of_corners(corner_uv, N_LOOKS, N_LOOKS).covered().mean()
    return max(0.0, 1 - float(covered) / uv_area)

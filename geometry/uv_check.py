"""Whether a mesh's own texture coordinates can hold a painting, and if not, why."""

import numpy as np
from jaxtyping import Float

from core.rays import RayTracer

#: Share of the painted texture that may be claimed twice, and of the surface that may have no texture, before a mesh's
#: own coordinates are given up.
MOST_OVERLAP, MOST_WITHOUT_AREA = 0.02, 0.02
#: A face that is smaller in the texture has no room for any colour of its own (a millionth of a texel of 4096).
SMALLEST_AREA = 1e-13
#: Looks into the texture along each of its sides.
N_LOOKS = 512
#: A face that reaches over more repetitions than this lies on top of itself.
MOST_REPEATS = 2.0


def uv_fault(corners: Float[np.ndarray, "faces 3 3"], corner_uv: Float[np.ndarray, "faces 3 2"]) -> str | None:
    """Why texture coordinates cannot be used: no surface, not finite, degenerate, overlapping; None where they can.

    Args:
        corners: positions of the faces' corners.
        corner_uv: their texture coordinates; beyond [0, 1] the texture repeats.
    """
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
    if not area.sum() > 0:
        return "its faces have zero area"
    n_bad = int((~np.isfinite(corner_uv)).any(axis=(1, 2)).sum())
    if n_bad:
        return f"{n_bad} faces have texture coordinates that are no numbers"
    edge, other = corner_uv[:, 1] - corner_uv[:, 0], corner_uv[:, 2] - corner_uv[:, 0]
    uv_area = np.abs(edge[:, 0] * other[:, 1] - edge[:, 1] * other[:, 0]) / 2
    flat = float(area[uv_area < SMALLEST_AREA].sum() / area.sum())
    if flat > MOST_WITHOUT_AREA:
        return f"its texture coordinates are degenerate: {flat:.0%} of the surface has no area in the texture"
    overlap = overlapping_share(corner_uv[uv_area >= SMALLEST_AREA], float(uv_area.sum()))
    if overlap > MOST_OVERLAP:
        return f"its texture coordinates overlap: {overlap:.0%} of what they cover is claimed twice"
    return None


def overlapping_share(corner_uv: Float[np.ndarray, "faces 3 2"], uv_area: float) -> float:
    """1 - (covered area of the repeating texture) / (sum of the faces' areas), from looks straight down on a grid.

    Args:
        uv_area: the sum of the faces' areas.
    """
    if float(np.ptp(corner_uv, axis=1).max()) > MOST_REPEATS:
        return 1.0
    return max(0.0, 1 - _covered_area(_within_one_texture(corner_uv)) / uv_area)


def _within_one_texture(corner_uv: Float[np.ndarray, "faces 3 2"]) -> Float[np.ndarray, "copies 3 2"]:
    """Every face once for each repetition of the texture that it touches, moved there."""
    first = np.floor(corner_uv.min(axis=1)).astype(np.int64)
    last = np.maximum(np.ceil(corner_uv.max(axis=1)).astype(np.int64) - 1, first)
    n_across, n_up = (last - first).max(axis=0) + 1
    copies = []
    for step in np.ndindex(n_across, n_up):
        tile = first + np.array(step)
        touched = (tile <= last).all(axis=1)
        copies.append(corner_uv[touched] - tile[touched, None])
    return np.concatenate(copies)


def _covered_area(corner_uv: Float[np.ndarray, "copies 3 2"]) -> float:
    """Share of [0, 1]^2 that lies in some face."""
    flat = np.concatenate([corner_uv, np.zeros((*corner_uv.shape[:2], 1))], axis=-1).reshape(-1, 3)
    tracer = RayTracer(flat, np.arange(len(flat)).reshape(-1, 3))
    line = (np.arange(N_LOOKS, dtype=np.float32) + 0.5) / N_LOOKS
    across, up = np.meshgrid(line, line)
    starts = np.stack([across, up, np.ones_like(up)], axis=-1).reshape(-1, 3)
    down = np.tile(np.array([[0, 0, -1]], dtype=np.float32), (len(starts), 1))
    return float(tracer.hits_any(starts, down).mean())

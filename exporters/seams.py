"""How visible the seams of a textured mesh are: colours on both sides of an edge, along seams and elsewhere.

Two faces that share an edge on the surface but not in the texture meet at a seam. On both sides of an edge, in the
direction of the faces' centres, the texture is asked for its colour; where the bake is right, these differ along seams
no more than elsewhere.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from scipy import ndimage

#: How far from the edge colours are compared, as a share of the way to the face's centre.
OFFSET = 0.25


@dataclass(frozen=True)
class SeamGaps:
    """Mean differences of colour across edges, channel by channel, in [0, 1]."""

    seams: float
    """0 where the mesh has no seams."""
    inner: float
    n_seams: int

    @property
    def ratio(self) -> float:
        """Of the two; 1 says that seams cannot be told from other edges. Gaps under one level of 255 count as one."""
        least = 1 / 255
        return max(self.seams, least) / max(self.inner, least)


def seam_gaps(
    vertices: Float[np.ndarray, "vertices 3"],
    faces: Int[np.ndarray, "faces 3"],
    uv: Float[np.ndarray, "vertices 2"],
    texture: UInt8[np.ndarray, "rows columns 3"],
) -> SeamGaps:
    """Compare the two sides of every edge between two faces.

    Args:
        vertices: doubled along seams; equal positions are one place.
    """
    _, weld = np.unique(vertices, axis=0, return_inverse=True)
    one, other = _edge_pairs(weld.ravel()[faces])
    places = uv[faces].astype(np.float64)
    is_seam = _differs(places, faces, weld.ravel(), one, other)
    gap = np.abs(_colours(places, one, texture) - _colours(places, other, texture)).mean(axis=1)
    n_seams = int(is_seam.sum())
    seams = float(gap[is_seam].mean()) if n_seams else 0.0
    inner = float(gap[~is_seam].mean()) if n_seams < len(gap) else 0.0
    return SeamGaps(seams, inner, n_seams)


def _edge_pairs(welded: NDArray) -> tuple[NDArray, NDArray]:
    """Half-edges (face * 3 + corner at which it begins) of each edge that exactly two faces share."""
    ends = np.sort(np.stack([welded, np.roll(welded, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    _, edge, count = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    edge = edge.ravel()
    order = np.argsort(edge, kind="stable")
    shared = order[(count[edge[order]] == 2) & (ends[order, 0] != ends[order, 1])]
    return shared[0::2], shared[1::2]


def _differs(places: NDArray, faces: NDArray, weld: NDArray, one: NDArray, other: NDArray) -> NDArray:
    """Whether the two faces of each edge have its ends at different places of the texture."""
    begin_one, end_one = _ends(places, one)
    begin_other, end_other = _ends(places, other)
    first_of = weld[faces.ravel()]
    same_way = (first_of[one] == first_of[other])[:, None]
    begin_other, end_other = np.where(same_way, begin_other, end_other), np.where(same_way, end_other, begin_other)
    apart = np.abs(np.concatenate([begin_one - begin_other, end_one - end_other], axis=1))
    return np.any(apart > 1e-6, axis=1)


def _ends(places: NDArray, half_edges: NDArray) -> tuple[NDArray, NDArray]:
    face, corner = half_edges // 3, half_edges % 3
    return places[face, corner], places[face, (corner + 1) % 3]


def _colours(places: NDArray, half_edges: NDArray, texture: NDArray) -> NDArray:
    """The texture, interpolated, a little to the inside of each half-edge's middle."""
    begin, end = _ends(places, half_edges)
    middle = (begin + end) / 2
    looks = middle + OFFSET * (places[half_edges // 3].mean(axis=1) - middle)
    rows, columns, _ = texture.shape
    where = [(1 - looks[:, 1]) * rows - 0.5, looks[:, 0] * columns - 0.5]
    channels = [ndimage.map_coordinates(texture[..., i] / 255.0, where, order=1, mode="grid-wrap") for i in range(3)]
    return np.stack(channels, axis=1)

"""How visible the seams of a textured mesh are: colours on both sides of an edge, along seams and elsewhere.

Two faces that share an edge on the surface but not in the texture meet at a seam. On both sides of an edge, in the
direction of the faces' centres, the texture is asked for its colour; where the bake is right, these differ along seams
no more than elsewhere.

Creases are counted apart as well: light falls otherwise on either side of one, and creases are seams almost always,
inner edges hardly ever.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import NDArray

from exporters.normals import CREASE_DEG
from exporters.shared_edges import SharedEdges, shared_edges
from geometry.mesh import Mesh, face_normals
from geometry.texels import sampled

#: How far from the edge colours are compared: this share of the way to the face's centre, and so many texels at most.
OFFSET, FARTHEST_TEXELS = 0.25, 1.0


@dataclass(frozen=True)
class SeamGaps:
    """Mean differences of colour across edges, channel by channel, in [0, 1]; 0 where there are no such edges."""

    seams: float
    """Over smooth seams: their faces meet at less than `CREASE_DEG`."""
    inner: float
    """Over smooth edges that are no seams."""
    n_seams: int
    """Smooth ones."""
    creased_seams: float
    """Over the seams whose faces meet at `CREASE_DEG` or more, or have no area."""
    n_creased_seams: int
    all_seams: float
    """Over all seams, smooth or not."""
    all_inner: float
    """Over all edges that are no seams, smooth or not."""

    @property
    def ratio(self) -> float:
        """Smooth seams over smooth inner edges; 1 says that they cannot be told apart.

        Gaps under one level of 255 count as one.
        """
        least = 1 / 255
        return max(self.seams, least) / max(self.inner, least)


def seam_gaps(mesh: Mesh) -> SeamGaps:
    """Compare the two sides of every edge between two faces of a textured mesh."""
    edges, places, texture = shared_edges(mesh), mesh.corner_uv, mesh.texture
    if places is None or texture is None:
        raise ValueError("seams are counted of a mesh with a texture")
    seam, smooth = edges.seam, _meets_smoothly(face_normals(mesh.corners), edges)
    gap = np.abs(np.subtract(*[_colours(places, side, texture) for side in edges.sides.T])).mean(axis=1)

    def mean(kept: NDArray) -> float:
        return float(gap[kept].mean()) if kept.any() else 0.0

    return SeamGaps(
        seams=mean(seam & smooth),
        inner=mean(~seam & smooth),
        n_seams=int((seam & smooth).sum()),
        creased_seams=mean(seam & ~smooth),
        n_creased_seams=int((seam & ~smooth).sum()),
        all_seams=mean(seam),
        all_inner=mean(~seam),
    )


def _meets_smoothly(normal: Float[np.ndarray, "faces 3"], edges: SharedEdges) -> Bool[np.ndarray, "edges"]:
    """Whether the two faces of each edge, by their normals, meet at less than `CREASE_DEG`."""
    one, other = edges.faces.T
    cosine = (normal[one] * normal[other]).sum(axis=1)
    return np.where(edges.same_way, -cosine, cosine) > np.cos(np.radians(CREASE_DEG))


def _colours(places: NDArray, half_edges: NDArray, texture: NDArray) -> NDArray:
    """The texture, interpolated, a little to the inside of each half-edge's middle."""
    face, corner = half_edges // 3, half_edges % 3
    middle = (places[face, corner] + places[face, (corner + 1) % 3]) / 2
    inward = places[face].mean(axis=1) - middle
    rows, columns, _ = texture.shape
    texels = np.linalg.norm(inward * [columns, rows], axis=1, keepdims=True)
    # No farther than a texel: on large faces the light changes on the way, and creases would be seen from afar.
    looks = middle + inward * np.minimum(OFFSET, FARTHEST_TEXELS / np.maximum(texels, 1e-12))
    return sampled(texture / 255, looks)

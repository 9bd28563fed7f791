"""Brings the two sides of every seam together in a baked texture.

Pictures show nothing that is narrower than a pixel or two, so a step of colour right at the line where two charts meet
is the bake's own: the sides were seen in other pictures, at other angles. Each side moves half of the difference along
the seam towards the other, and less and less of it away from the seam.

Source: the local seam adjustment of Waechter, Moehrle and Goesele, Let There Be Color! (2014), here on the surface and
with a fall-off by distance in the place of a Poisson equation.
"""

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.spatial import KDTree

from exporters.shared_edges import SharedEdges, charts, shared_edges
from geometry.mesh import Mesh
from geometry.texels import Texels, sampled

#: Points on a seam per length over which its sides are blended.
POINTS_PER_REACH = 3
#: So many of the nearest points say together how a texel changes.
N_NEAREST = 4
#: Charts are looked at apart: so many texels farther than any other place.
FAR = 1e7


def blend_seams(
    texels: Texels,
    colours: Float[np.ndarray, "texels channels"],
    mesh: Mesh,
    reach: float,
) -> Float[np.ndarray, "texels channels"]:
    """Colours that are the same on both sides of a seam; farther from seams than `reach`, they are what they were.

    Args:
        mesh: with texture coordinates.
        reach: world units.
    """
    edges, faces, uv = shared_edges(mesh), mesh.faces, mesh.uv_with(v_down=False).astype(np.float64)
    edge, share = _points_on(edges, reach / POINTS_PER_REACH)
    if not len(edge):
        return colours
    size = np.array([texels.width, texels.height])
    places = _along(edges.places[edge], share) * size  # (points, sides, 2)
    on_surface = _along(edges.ends[edge], share)
    inward = _inward(edges, uv[faces].mean(axis=1), size)[edge]
    seen = sampled(texels.texture(colours), (places + inward) / size)
    missing = (seen[:, ::-1] - seen) / 2

    chart = charts(edges, len(faces))
    tree = KDTree(_in_chart(places.reshape(-1, 2), chart[edges.faces[edge]].ravel()))
    scale = _texels_per_length(edges, size)
    asked = _in_chart(texels.of_corners(uv, faces) * size, chart[texels.face])
    nearest = np.asarray(tree.query(asked, k=N_NEAREST, distance_upper_bound=max(reach * scale, 1.0), workers=-1)[1])
    near = np.flatnonzero((nearest < tree.n).any(axis=1))
    found = nearest[near]
    there = found < tree.n
    point = np.where(there, found, 0)
    here = texels.of_corners(mesh.vertices.astype(np.float64), faces)[near]
    distance = np.where(there, np.linalg.norm(here[:, None] - on_surface[point // 2], axis=-1), np.inf)
    weight = 1 / (distance**2 + (reach / POINTS_PER_REACH / 2) ** 2)
    weight /= weight.sum(axis=1, keepdims=True)
    change = (weight[..., None] * missing.reshape(-1, colours.shape[1])[point]).sum(axis=1)
    # Flat on the seam and at its end: no edge of the blend itself is seen.
    fade = (1 - (distance.min(axis=1) / reach) ** 2).clip(0) ** 2
    blended = colours.copy()
    blended[near] += fade[:, None] * change
    return blended


def _points_on(edges: SharedEdges, spacing: float) -> tuple[NDArray, NDArray]:
    """Points on all seams, no farther from each other than `spacing`: edge, and share of the way along it."""
    counts = np.where(edges.seam, np.ceil(edges.length / spacing).clip(1), 0).astype(np.int64)
    edge = np.repeat(np.arange(len(counts)), counts)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return edge, (number + 0.5) / counts[edge]


def _along(ends: NDArray, share: NDArray) -> NDArray:
    """Points at a share of the way between two ends; ends along the last axis but one."""
    share = share.reshape(-1, *[1] * (ends.ndim - 2))
    return (1 - share) * ends[..., 0, :] + share * ends[..., 1, :]


def _inward(edges: SharedEdges, centres: NDArray, size: NDArray) -> NDArray:
    """From each side's edge a texel towards its face's centre, or a quarter of the way, if that is less.

    On the edge itself a look would mix in the texel beyond it, which may see what the other side's face hides.
    """
    inward = (centres[edges.faces] - edges.places.mean(axis=2)) * size
    length = np.linalg.norm(inward, axis=-1, keepdims=True)
    return inward * np.minimum(0.25, 1 / np.maximum(length, 1e-12))


def _in_chart(places: NDArray, chart: NDArray) -> NDArray:
    """Places in texels, those of other charts out of reach."""
    return np.column_stack([places, chart * FAR])


def _texels_per_length(edges: SharedEdges, size: NDArray) -> float:
    """The most texels that a seam takes for a unit of its length."""
    n_texels = np.linalg.norm((edges.places[:, :, 1] - edges.places[:, :, 0]) * size, axis=-1).max(axis=1)
    return float((n_texels / np.maximum(edges.length, 1e-9))[edges.seam].max())

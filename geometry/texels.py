"""Which part of a surface each texel of its texture shows.

UVs count to the right and upward from the lower left corner; row 0 of a texture is its top. So the centre of the texel
in row r and column c of a texture of H x W has u = (c + 0.5) / W and v = 1 - (r + 0.5) / H.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int, Num, Shaped
from numpy.typing import NDArray
from scipy import ndimage

#: Texels that are looked at together; bounds the memory.
AT_ONCE = 2**21
#: A centre this far outside of a face still belongs to it, in texels: edges leave no cracks.
TOLERANCE = 1e-6
#: Faces of less height, in texels, do not say what lies beside them: their planes' places are too uncertain.
THINNEST = 1e-2


@dataclass(frozen=True)
class Texels:
    """The texels that some face covers, in the order of the texture's rows."""

    height: int
    width: int
    index: Int[np.ndarray, "texels"]
    """row * width + column."""
    face: Int[np.ndarray, "texels"]
    barycentric: Float[np.ndarray, "texels 3"]
    """Shares of the face's three corners at the texel's centre; beside the face, one is below 0."""

    def of_corners(
        self, values: Float[np.ndarray, "vertices channels"], faces: Int[np.ndarray, "faces 3"]
    ) -> Float[np.ndarray, "texels channels"]:
        """Values given at the vertices, interpolated at the texels."""
        return self.within(values[faces])

    def within(self, values: Float[np.ndarray, "faces 3 channels"]) -> Float[np.ndarray, "texels channels"]:
        """Values given at the corners of each face, interpolated at the texels."""
        return np.einsum("tc,tck->tk", self.barycentric, values[self.face])

    def covered(self) -> Bool[np.ndarray, "height width"]:
        """Where the texture shows the surface."""
        mask = np.zeros(self.height * self.width, dtype=bool)
        mask[self.index] = True
        return mask.reshape(self.height, self.width)

    def texture(self, values: Shaped[np.ndarray, "texels channels"]) -> Shaped[np.ndarray, "height width channels"]:
        """Values of the covered texels as a texture; every other texel takes the value of the nearest covered one.

        What lies between charts is never seen itself, but filters and mip levels mix it in.
        """
        flat = np.zeros((self.height * self.width, values.shape[1]), values.dtype)
        flat[self.index] = values
        return flat[self._nearest].reshape(self.height, self.width, -1)

    @cached_property
    def _nearest(self) -> Int[np.ndarray, "all"]:
        """For every texel of the texture, the nearest covered one."""
        nearest = ndimage.distance_transform_edt(~self.covered(), return_distances=False, return_indices=True)
        assert isinstance(nearest, np.ndarray)
        return (nearest[0] * self.width + nearest[1]).ravel()


def sampled(
    texture: Num[np.ndarray, "rows columns channels"], uv: Float[np.ndarray, "*places 2"]
) -> Float[np.ndarray, "*places channels"]:
    """A texture, interpolated between its texels; beyond [0, 1] it repeats."""
    rows, columns, _ = texture.shape
    where = [(1 - uv[..., 1]) * rows - 0.5, uv[..., 0] * columns - 0.5]
    channels = np.moveaxis(texture, -1, 0).astype(np.float64)
    return np.stack([ndimage.map_coordinates(c, where, order=1, mode="grid-wrap") for c in channels], axis=-1)


def covered_texels(
    uv: Float[np.ndarray, "vertices 2"], faces: Int[np.ndarray, "faces 3"], height: int, width: int, reach: float = 0.0
) -> Texels:
    """The texels whose centres lie in a face, or beside one; of several faces the nearest, of equal ones the first.

    UVs beyond [0, 1] repeat. Faces so small that they hold no centre cover nothing: their colours come from around.

    Args:
        reach: how far beside a face, in texels. A look near a chart's border mixes the texel beyond it in; the face's
            own plane, continued, says what belongs there.
    """
    corners = (uv.astype(np.float64) * [1, -1] + [0, 1])[faces] * [width, height]
    found = [_near(corners, chunk, reach) for chunk in _chunks(corners, reach)]
    face, column, row, barycentric, outside = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    index = (row % height) * width + column % width
    nearest_first = np.lexsort((face, outside))
    index, first = np.unique(index[nearest_first], return_index=True)
    chosen = nearest_first[first]
    return Texels(height, width, index, face[chosen], barycentric[chosen])


def texels_of_corners(corner_uv: Float[np.ndarray, "faces 3 2"], height: int, width: int, reach: float = 0.0) -> Texels:
    """As `covered_texels`, of faces whose corners each have a place of their own."""
    return covered_texels(corner_uv.reshape(-1, 2), np.arange(corner_uv.size // 2).reshape(-1, 3), height, width, reach)


def _chunks(corners: NDArray, reach: float) -> Iterator[NDArray]:
    """Faces in groups whose bounding boxes hold about AT_ONCE centres."""
    n_seen = np.cumsum(_boxes(corners, reach)[1].prod(axis=1))
    groups = (n_seen - 1).clip(0) // AT_ONCE
    for group in np.unique(groups):
        yield np.flatnonzero(groups == group)


def _boxes(corners: NDArray, reach: float) -> tuple[NDArray, NDArray]:
    """First column and row of the centres in each face's bounding box, and how many columns and rows they are."""
    first = np.ceil(corners.min(axis=1) - reach - 0.5 - TOLERANCE).astype(np.int64)
    last = np.floor(corners.max(axis=1) + reach - 0.5 + TOLERANCE).astype(np.int64)
    return first, (last - first + 1).clip(0)


def _near(corners: NDArray, chunk: NDArray, reach: float) -> tuple[NDArray, ...]:
    """Faces, columns, rows, barycentrics and distances (0 inside) of the centres in or near the faces of a chunk."""
    first, size = _boxes(corners[chunk], reach)
    counts = size.prod(axis=1)
    of_chunk = np.repeat(np.arange(len(chunk)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    n_columns = np.maximum(size[of_chunk, 0], 1)
    column, row = first[of_chunk, 0] + within % n_columns, first[of_chunk, 1] + within // n_columns
    barycentric, heights = _barycentric(np.stack([column, row], axis=1) + 0.5, corners[chunk], of_chunk)
    outside = (-barycentric * heights).max(axis=1).clip(0)
    kept = (outside <= np.where(heights.min(axis=1) > THINNEST, reach, 0) + TOLERANCE) & (heights.min(axis=1) > 0)
    outside[outside <= TOLERANCE] = 0
    return chunk[of_chunk[kept]], column[kept], row[kept], barycentric[kept], outside[kept]


def _barycentric(points: NDArray, triangles: NDArray, of: NDArray) -> tuple[NDArray, NDArray]:
    """Shares of the corners at points of the plane, and the heights of each point's triangle over its three sides."""
    sides = np.linalg.norm(triangles[:, [1, 2, 0]] - triangles[:, [2, 0, 1]], axis=2)
    area = _cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
    heights = np.abs(area)[:, None] / np.maximum(sides, 1e-30)
    a, b, c = triangles[of].transpose(1, 0, 2)
    safe = np.where(area == 0, 1.0, area)[of]
    of_b, of_c = _cross(points - a, c - a) / safe, _cross(b - a, points - a) / safe
    return np.stack([1 - of_b - of_c, of_b, of_c], axis=1), heights[of]


def _cross(p: NDArray, q: NDArray) -> NDArray:
    return p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]

"""New texture coordinates for the polygons of a file, which stay whole where no seam runs through them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from exporters.painted_surface import first_of_each
from geometry.mesh import Mesh


@dataclass(frozen=True, eq=False)
class NewPlaces:
    """Places in the texture, and where the file's polygons lie on it."""

    uv: Float[np.ndarray, "places 2"]
    """Each place once, float32, v upward, in the order of the file's corners."""
    triangle_places: Int[np.ndarray, "triangles 3"]
    """-1 where a corner has none."""
    triangle_corners: Int[np.ndarray, "triangles 3"]
    """Corners of the file, counted through all polygons."""
    first_triangle: Int[np.ndarray, "polygons_and_1"]
    """Where each polygon's triangles begin."""

    @classmethod
    def of(cls, mesh: Mesh, corner_uv: Float[np.ndarray, "faces 3 2"]) -> "NewPlaces":
        """Those of a mesh that was read from a file of polygons.

        Args:
            corner_uv: v upward; NaN where there are none.
        """
        assert mesh.file.corner is not None, "polygons know their corners"
        flat = corner_uv.reshape(-1, 2).astype(np.float32)
        has_one = np.isfinite(flat).all(axis=1)
        first, own = first_of_each(flat[has_one].astype(np.float64))
        number = np.full(len(flat), -1)
        number[has_one] = own
        n_polygons = int(mesh.file.polygon.max(initial=-1)) + 1
        begins = np.searchsorted(mesh.file.polygon, np.arange(n_polygons + 1))
        return cls(flat[has_one][first], number.reshape(-1, 3), mesh.file.corner, begins)

    def pieces(self, polygon: int, first: int, n_corners: int) -> Iterator[list[tuple[int, int]]]:
        """A polygon as pairs of its corner, counted from 0, and its place; in triangles where it cannot stay whole.

        Args:
            first: the number of its first corner, counted through all polygons.
        """
        triangles = slice(self.first_triangle[polygon], self.first_triangle[polygon + 1])
        corners = (self.triangle_corners[triangles] - first).tolist()
        places = self.triangle_places[triangles].tolist()
        pairs = [list(zip(*each, strict=True)) for each in zip(corners, places, strict=True)]
        place_of = dict(pair for triangle in pairs for pair in triangle)
        is_whole = len(place_of) == n_corners and all(place_of[c] == p for triangle in pairs for c, p in triangle)
        yield from [[(corner, place_of[corner]) for corner in range(n_corners)]] if is_whole else pairs

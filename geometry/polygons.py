"""Turns the polygons of a file into triangles, and pairs of position and texture coordinate into vertices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, Num

from geometry.mesh import Mesh, area_vectors
from geometry.source_file import BROKEN_UV, NO_UV, SOME_UV, SourceFile, out_of_range

#: A polygon is concave where a triangle of its fan turns against it with more than this share of its area.
SLIGHTEST = 1e-6
#: In place of an index: the corner has no texture coordinate, or names one that cannot exist.
NONE, NOWHERE = -1, -2


@dataclass(frozen=True, eq=False)
class Polygons:
    """The polygons of a file; `corner` and `place` list the corners of all polygons, one polygon after another."""

    path: Path
    kind: str
    positions: Float[np.ndarray, "positions 3"]
    corner: Int[np.ndarray, "corners"]
    """The position of each corner, as an index."""
    n_corners: Int[np.ndarray, "polygons"]
    """Of each polygon, at least 3."""
    uv: Float[np.ndarray, "places 2"] | None = None
    place: Int[np.ndarray, "corners"] | None = None
    """The texture coordinate of each corner, as an index; None where `uv` has one for each position."""
    material: Int[np.ndarray, "polygons"] | None = None
    """Of each polygon, as an index into `materials`."""
    materials: tuple[str | None, ...] = (None,)
    textures: tuple[str, ...] = ()
    """As SourceFile has them."""

    def mesh(self) -> Mesh:
        """Triangles in the polygons' order; a position with several texture coordinates becomes as many vertices.

        Raises:
            UserError: a face names a vertex that does not exist.
        """
        if len(self.corner) and (self.corner.min() < 0 or self.corner.max() >= len(self.positions)):
            raise out_of_range(self.path)
        triangles, polygon = cut(self.positions, self.corner, self.n_corners)
        part = np.zeros_like(polygon) if self.material is None else self.material[polygon]
        fault = NO_UV if self.uv is None or not len(self.corner) else self._uv_fault(self.uv)
        source = SourceFile(
            *(self.path, self.kind, polygon, part, self.materials, fault or NO_UV, self.textures), corner=triangles
        )
        if (fault and fault != SOME_UV) or self.uv is None or self.place is None:
            uv = None if fault or self.uv is None else single_precision(self.uv)
            return Mesh(self.positions, self.corner[triangles], uv=uv, source=source)
        own_uv = np.concatenate([self.uv, [[np.nan, np.nan]]])  # of corners without a place
        position, place, number = paired(
            self.corner, np.where(self.place == NONE, len(self.uv), self.place), len(self.positions)
        )
        return Mesh(self.positions[position], number[triangles], uv=single_precision(own_uv[place]), source=source)

    def _uv_fault(self, uv: Float[np.ndarray, "places 2"]) -> str | None:
        """Why the corners' texture coordinates cannot be used."""
        if self.place is None:
            return None
        if (self.place == NONE).any():
            return NO_UV if (self.place == NONE).all() else SOME_UV
        return BROKEN_UV if self.place.min() < 0 or self.place.max() >= len(uv) else None


def single_precision(uv: Num[np.ndarray, "places 2"]) -> Float[np.ndarray, "places 2"]:
    """Texture coordinates as float32; those beyond its range become infinite, which is reported if they are used."""
    with np.errstate(over="ignore"):
        return uv.astype(np.float32)


def paired(
    corner: Int[np.ndarray, "corners"], place: Int[np.ndarray, "corners"], n_positions: int
) -> tuple[Int[np.ndarray, "vertices"], Int[np.ndarray, "vertices"], Int[np.ndarray, "corners"]]:
    """The different pairs of position and place, in the order of both; a position of no corner has place 0.

    Args:
        corner, place: of each corner, as indices.

    Returns:
        Each pair's position and place, and for each corner the number of its pair.
    """
    only = np.zeros(n_positions, np.int64)
    only[corner] = place  # of each position one place; most have no other, so few have to be sorted
    is_split = np.zeros(n_positions, bool)
    is_split[corner[place != only[corner]]] = True
    split = np.flatnonzero(is_split[corner])
    n_places = int(place.max(initial=0)) + 1
    pair, rank = np.unique(corner[split] * n_places + place[split], return_inverse=True)
    n_pairs = np.ones(n_positions, np.int64)
    n_pairs[is_split] = np.bincount(pair // n_places, minlength=n_positions)[is_split]
    first = np.cumsum(n_pairs) - n_pairs
    number = first[corner]
    begins = np.searchsorted(pair, corner[split] * n_places)  # the position's first pair among the sorted ones
    number[split] += rank.reshape(-1) - begins
    position = np.repeat(np.arange(n_positions), n_pairs)
    places = only[position]
    places[is_split[position]] = pair % n_places
    return position, places, number


def cut(
    positions: Float[np.ndarray, "positions 3"],
    corner: Int[np.ndarray, "corners"],
    n_corners: Int[np.ndarray, "polygons"],
) -> tuple[Int[np.ndarray, "triangles 3"], Int[np.ndarray, "triangles"]]:
    """Cut polygons into triangles: fans around their first corners, or ears where a fan would leave the outline.

    Args:
        corner: the position of each corner, as an index, polygon after polygon.
        n_corners: of each polygon, at least 3.

    Returns:
        For each corner of a triangle its place in `corner`, and for each triangle its polygon, both in their order.
    """
    if (n_corners == 3).all():
        return np.arange(len(corner)).reshape(-1, 3), np.arange(len(n_corners))
    n_triangles = n_corners - 2
    polygon = np.repeat(np.arange(len(n_corners)), n_triangles)
    first = (np.cumsum(n_corners) - n_corners)[polygon]
    step = np.arange(n_triangles.sum()) - np.repeat(np.cumsum(n_triangles) - n_triangles, n_triangles)
    fans = np.stack([first, first + step + 1, first + step + 2], axis=-1)
    several = np.flatnonzero((n_triangles > 1)[polygon])
    with np.errstate(invalid="ignore", over="ignore"):  # infinite coordinates and NaN are reported later
        facing = area_vectors(positions[corner[fans[several]]])
        normal = np.zeros((len(n_corners), 3))
        np.add.at(normal, polygon[several], facing)
        along = np.einsum("ij,ij->i", facing, normal[polygon[several]])
        back = along < -SLIGHTEST * (normal**2).sum(axis=1)[polygon[several]]
    concave = np.unique(polygon[several[back]])
    if not len(concave):
        return fans, polygon
    ends = np.cumsum(n_corners)
    ears = [
        _ears(positions[corner[ends[i] - n_corners[i] : ends[i]]], normal[i]) + ends[i] - n_corners[i] for i in concave
    ]
    whole = ~np.isin(polygon, concave)
    polygon = np.concatenate([polygon[whole], np.repeat(concave, [len(each) for each in ears])])
    order = np.argsort(polygon, kind="stable")
    return np.concatenate([fans[whole], *ears])[order], polygon[order]


def _ears(outline: Float[np.ndarray, "corners 3"], normal: Float[np.ndarray, "3"]) -> Int[np.ndarray, "triangles 3"]:
    """One polygon cut into triangles by ear clipping, in the plane of its normal; they keep its orientation."""
    import mapbox_earcut

    axis = int(np.abs(normal).argmax())
    seen = np.ascontiguousarray(np.roll(outline, 2 - axis, axis=1)[:, :2])
    found = mapbox_earcut.triangulate_float64(seen, np.array([len(seen)], np.uint32)).reshape(-1, 3).astype(np.int64)
    against = (area_vectors(outline[found]) @ normal) < 0
    found[against] = found[against, ::-1]
    return found

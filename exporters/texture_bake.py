"""Bakes colours into a texture, from pictures whose cameras are known or from a field that knows its colour at points.

The colour of a texel is what pictures say of the point at its centre (projection.py). Where they say little, it leans
on the colours of its neighbours on the surface (surface_fill.py); the two sides of a seam are brought together
(seam_blend.py); beside the charts it is the nearest chart's.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from exporters.projection import Photographs, pixel_length, seen_colours
from exporters.seam_blend import blend_seams
from exporters.surface_fill import fill_over_surface
from geometry.mesh import Mesh
from geometry.texels import Texels, covered_texels

#: A point that is seen this well is coloured half by pictures and half by its neighbours: one picture at 80 degrees.
HARDLY_SEEN = 1e-3
#: Texels beside the charts that are baked like those within: as far as a bilinear look sees.
REACH = 1.0
#: Pictures place no edge of a colour more exactly than this many of their pixels: so far, seams are blended.
SHARPEST = 2.0


#: Texels per side of a texture for each pixel of a decoded picture, and the least and most texels.
TEXELS_PER_PIXEL, SMALLEST_TEXTURE, LARGEST_TEXTURE = 4, 256, 2048


def texture_size(picture_size: int) -> int:
    """Texels along each side that hold all that decoded pictures of this size show."""
    return min(max(TEXELS_PER_PIXEL * picture_size, SMALLEST_TEXTURE), LARGEST_TEXTURE)


def bake_photographs(
    mesh: Mesh,
    photographs: Photographs,
    height: int,
    width: int,
    tell: Callable[[], object] = lambda: None,
    hidden_by: Mesh | None = None,
) -> UInt8[np.ndarray, "height width 3"]:
    """A texture from pictures, row 0 on top.

    Args:
        mesh: with normals and with texture coordinates, v upward.
        tell: called after each picture.
        hidden_by: what hides its points from cameras; None: itself alone.
    """
    texels, points, normals = _surface_points(mesh, height, width)
    everywhere = np.concatenate([points, mesh.vertices.astype(np.float64)])
    facing = np.concatenate([normals, np.asarray(mesh.normals, np.float64)])
    colours, weights = seen_colours(everywhere, facing, photographs, hidden_by or mesh, tell)
    filled = fill_over_surface(mesh, colours[len(points) :], weights[len(points) :] > HARDLY_SEEN)
    baked = _with_neighbours(colours[: len(points)], weights[: len(points)], texels.of_corners(filled, mesh.faces))
    reach = SHARPEST * pixel_length(photographs)
    return _as_texture(texels, blend_seams(texels, baked, mesh, reach))


def bake_points(
    mesh: Mesh,
    colours_at: Callable[[Float[np.ndarray, "points 3"]], Float[np.ndarray, "points 3"]],
    height: int,
    width: int,
) -> UInt8[np.ndarray, "height width 3"]:
    """A texture from a function that gives the sRGB of points, row 0 on top."""
    texels, points, _ = _surface_points(mesh, height, width)
    return _as_texture(texels, colours_at(points))


def _surface_points(
    mesh: Mesh, height: int, width: int
) -> tuple[Texels, Float[np.ndarray, "texels 3"], Float[np.ndarray, "texels 3"]]:
    """The covered texels with those right beside them, and position and unit normal of the surface at their centres."""
    texels = covered_texels(mesh.uv_with(v_down=False), mesh.faces, height, width, REACH)
    points = texels.of_corners(mesh.vertices.astype(np.float64), mesh.faces)
    normals = texels.of_corners(np.asarray(mesh.normals, np.float64), mesh.faces)
    length = np.linalg.norm(normals, axis=-1, keepdims=True)
    return texels, points, normals / np.maximum(length, 1e-12)


def _with_neighbours(
    colours: Float[np.ndarray, "texels 3"],
    weights: Float[np.ndarray, "texels"],
    around: Float[np.ndarray, "texels 3"],
) -> Float[np.ndarray, "texels 3"]:
    """Colours of texels mixed with those around them: the less pictures show of a texel, the more."""
    share = (weights / (weights + HARDLY_SEEN))[:, None]
    return share * colours + (1 - share) * around


def _as_texture(texels: Texels, colours: Float[np.ndarray, "texels 3"]) -> UInt8[np.ndarray, "height width 3"]:
    return np.rint(texels.texture(colours).clip(0, 1) * 255).astype(np.uint8)

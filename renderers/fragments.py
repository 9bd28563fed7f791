"""What rasterizers find: which face each pixel's ray meets first, and where on it.

The mesh is fixed, so nothing here has a gradient: all that learns is a texture, looked up at what is found here.
"""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.types import Cameras, TensorRecord


@dataclass(frozen=True)
class Fragments(TensorRecord):
    """What the rays through the centres of all pixels meet first."""

    face: Int[Tensor, "views height width"]
    """Index of the face, -1 where a ray meets none."""
    barycentrics: Float[Tensor, "views height width 3"]
    """Weights of the face's three corners, which sum to 1; 0 where a ray meets none."""

    @property
    def mask(self) -> Bool[Tensor, "views height width"]:
        """Where a face is met."""
        return self.face >= 0


#: A mesh that answers cameras, both sides of its faces seen; the fragments are on the cameras' device.
Rasterizer = Callable[[Cameras], Fragments]


def at_points(
    corner_values: Float[Tensor, "*points 3 channels"], barycentrics: Float[Tensor, "*points 3"]
) -> Float[Tensor, "*points channels"]:
    """Values given at a face's corners, at points on it: sum of b_i a_i."""
    return (corner_values * barycentrics[..., None]).sum(dim=-2)


def surface_footprint(
    distance: Float[Tensor, "points"],
    direction: Float[Tensor, "points 3"],
    normal: Float[Tensor, "points 3"],
    forward: Float[Tensor, "points 3"],
    pixel: Float[Tensor, "points"],
) -> Float[Tensor, "points"]:
    """Side of a square as large as the piece of surface that a pixel sees, in world units.

    A pixel of side p on the plane at distance 1 spans the solid angle p^2 cos^3(a), with a its ray's angle with the
    optical axis; at distance t, on a surface that the ray meets under the angle b with its normal, that is an area of
    t^2 p^2 cos^3(a) / cos(b). cos(b) counts as at least 0.1: a surface seen edge-on has no end.

    Args:
        direction, normal, forward: unit vectors: of the ray, of the face, and of the camera's optical axis.
        pixel: p, for each point's camera.
    """
    cos_a = (direction * forward).sum(dim=-1).clamp_min(0)
    cos_b = (direction * normal).sum(dim=-1).abs().clamp_min(0.1)
    return distance * pixel * (cos_a**3 / cos_b).sqrt()

"""Colours of surface points from pictures whose cameras are known.

Each picture gives a colour to the points that it shows, and a point takes the weighted mean. A picture's weight is 0
where the surface hides the point, grows with how squarely and how finely it shows the point, and is small near the
silhouette, where a decoded picture has mixed the object with what is behind it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from core.rays import RayTracer
from core.types import Cameras
from geometry.mesh import Mesh

#: Power of the cosine between the surface's normal and the direction to the camera.
SQUARENESS = 4.0
#: Weight left to a picture where it may show background: enough where no other picture sees the point (thin parts).
SILHOUETTE_WEIGHT = 0.02
#: Rays start this far off the surface, in world units, so that they do not hit the face they start from.
CLEARANCE = 2e-3


@dataclass(frozen=True)
class Photographs:
    """Pictures of one object."""

    cameras: Cameras
    colours: Float[Tensor, "views rows columns 3"]
    """sRGB in [0, 1]."""
    opacity: Float[Tensor, "views height width"]
    """How much of each ray the object takes; its size may be another than the colours'."""


def seen_colours(
    points: Float[np.ndarray, "points 3"],
    normals: Float[np.ndarray, "points 3"],
    photographs: Photographs,
    surface: Mesh,
    tell: Callable[[], object] = lambda: None,
) -> tuple[Float[np.ndarray, "points 3"], Float[np.ndarray, "points"]]:
    """sRGB of points on a surface, and how well they are seen: 1 is one picture that looks squarely, 0 is not at all.

    Args:
        normals: outward, of unit length.
        surface: what hides points from cameras.
        tell: called after each picture.
    """
    tracer = RayTracer(surface.vertices, surface.faces)
    total = np.zeros((len(points), 3))
    weights = np.zeros(len(points))
    certain = _certainty(photographs.opacity)
    sharpest = _pixels_per_length(photographs.cameras).max()
    for i in range(len(photographs.cameras)):
        camera = photographs.cameras[i : i + 1]
        toward, distance, facing = _directions(points, normals, camera)
        weight = np.maximum(facing, 0) ** SQUARENESS
        where = project(torch.from_numpy(points).float(), camera)
        weight *= _sampled(certain[i, ..., None], where)[:, 0]
        weight *= (where.abs() <= 1).all(dim=-1).numpy()
        weight *= (_pixels_per_length(camera, distance) / sharpest) ** 2
        looked_at = np.flatnonzero(weight > 0)
        starts = points[looked_at] + CLEARANCE * normals[looked_at]
        weight[looked_at[tracer.hits_any(starts, toward[looked_at])]] = 0
        total += weight[:, None] * _sampled(photographs.colours[i], where)
        weights += weight
        tell()
    return total / np.maximum(weights, 1e-12)[:, None], weights


def project(points: Float[Tensor, "points 3"], camera: Cameras) -> Float[Tensor, "points 2"]:
    """Where one camera's picture shows points: x to the right and y downward, from -1 to 1 at the picture's borders.

    Points behind the camera are sent far outside.
    """
    c2w = camera.c2w[0].to(points)
    in_camera = (points - c2w[:3, 3]) @ c2w[:3, :3]
    depth = -in_camera[:, 2]
    half_height = torch.tan(camera.fovy_deg[0].to(points).deg2rad() / 2)
    half_width = half_height * camera.width / camera.height
    half_size = torch.stack([half_width, -half_height])
    on_plane = in_camera[:, :2] / depth[:, None].clamp_min(1e-9) / half_size
    return torch.where(depth[:, None] > 0, on_plane, torch.full_like(on_plane, 1e9))


def pixel_length(photographs: Photographs) -> float:
    """How wide a pixel of the pictures is at the origin, in world units: the mean over the pictures."""
    rows = photographs.colours.shape[1]
    return float((2 / (rows * _pixels_per_length(photographs.cameras))).mean())


def _directions(points: NDArray, normals: NDArray, camera: Cameras) -> tuple[NDArray, NDArray, NDArray]:
    """Unit directions from the points to the camera, its distances, and the directions' cosines with the normals."""
    toward = camera.c2w[0, :3, 3].cpu().numpy() - points
    distance = np.linalg.norm(toward, axis=-1)
    toward /= distance[:, None]
    return toward, distance, (toward * normals).sum(axis=-1)


def _pixels_per_length(cameras: Cameras, distance: NDArray | None = None) -> NDArray:
    """How finely pictures of one size show a unit of length that stands so far off; by default, at the origin."""
    half_height = torch.tan(cameras.fovy_deg.deg2rad() / 2).cpu().numpy()
    if distance is None:
        distance = cameras.c2w[:, :3, 3].norm(dim=-1).cpu().numpy()
    return 1 / (half_height * distance)


def _certainty(opacity: Float[Tensor, "views height width"]) -> Float[Tensor, "views height width"]:
    """Near 1 where a pixel and its neighbours are all opaque, `SILHOUETTE_WEIGHT` where one of them is not at all."""
    least = -F.max_pool2d(-opacity[:, None].float(), kernel_size=3, stride=1, padding=1)[:, 0]
    return SILHOUETTE_WEIGHT + (1 - SILHOUETTE_WEIGHT) * least.clamp(0, 1) ** 2


def _sampled(picture: Float[Tensor, "rows columns channels"], where: Float[Tensor, "points 2"]) -> NDArray:
    """A picture's values at points of [-1, 1]^2, interpolated."""
    values = F.grid_sample(
        picture.movedim(-1, 0)[None].float().cpu(), where[None, None], padding_mode="border", align_corners=False
    )
    return values[0, :, 0].T.double().numpy()

"""Cameras around an object: poses, rays through pixels, and the words for where a view is taken from.

World: right-handed, +y up, the object around the origin in the box [-1, 1]^3. A camera at azimuth 0 stands on +z and
sees the object's front; azimuth grows toward +x; elevation grows upward. Camera: OpenGL, looks along its -z, +x right,
+y up.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import require
from core.types import Cameras, Rays

ViewName = Literal["overhead", "bottom", "front", "back", "side"]

# Look-at is singular at the poles: there the world's up is the viewing direction.
STEEPEST_DEG = 88.0


@dataclass(frozen=True)
class ViewBins:
    """Where the words for views begin and end; first match: overhead, bottom, front, back, else side."""

    overhead_deg: float = 60.0
    """Elevation from which on a view is `overhead`."""
    bottom_deg: float = -45.0
    """Elevation up to which a view is `bottom`."""
    front_half_width_deg: float = 35.0
    """Views this near to azimuth 0 are `front`, to azimuth 180 `back`, all others `side`."""

    def __post_init__(self) -> None:
        require(
            self.bottom_deg < self.overhead_deg,
            f"bottom_deg: below overhead_deg ({self.overhead_deg:g}), got {self.bottom_deg:g}",
        )
        require(
            0.0 < self.front_half_width_deg <= 90.0,
            f"front_half_width_deg: above 0 and at most 90, got {self.front_half_width_deg:g}",
        )


def orbit_cameras(
    elevation_deg: Float[Tensor, "views"],
    azimuth_deg: Float[Tensor, "views"],
    radius: Float[Tensor, "views"],
    fovy_deg: Float[Tensor, "views"],
    height: int,
    width: int,
) -> Cameras:
    """Cameras on spheres around the origin, looking at it with the world's up upward.

    Elevations beyond 88 degrees are brought back to 88, since look-at is singular at the poles.

    Args:
        radius: distance from the origin, in world units.
    """
    elevation_deg = elevation_deg.clamp(-STEEPEST_DEG, STEEPEST_DEG)
    elevation, azimuth = elevation_deg.deg2rad(), azimuth_deg.deg2rad()
    level = elevation.cos()
    backward = torch.stack([level * azimuth.sin(), elevation.sin(), level * azimuth.cos()], dim=-1)
    right = torch.stack([azimuth.cos(), torch.zeros_like(azimuth), -azimuth.sin()], dim=-1)
    up = torch.linalg.cross(backward, right)
    c2w = torch.eye(4, dtype=backward.dtype, device=backward.device).repeat(len(backward), 1, 1)
    c2w[:, :3] = torch.stack([right, up, backward, backward * radius[:, None]], dim=-1)
    return Cameras(c2w, fovy_deg, elevation_deg, azimuth_deg, height, width)


def camera_rays(cameras: Cameras) -> Rays:
    """Rays through the centres of all pixels, batched as (views, height, width); row 0 is the top of the picture."""
    c2w, height, width = cameras.c2w, cameras.height, cameras.width
    left, top, share_across, share_down = cameras.window
    whole_height, whole_width = height / share_down, width / share_across
    rows = torch.arange(height, dtype=c2w.dtype, device=c2w.device) + (0.5 + top * whole_height)
    columns = torch.arange(width, dtype=c2w.dtype, device=c2w.device) + (0.5 + left * whole_width)
    y = (1.0 - 2.0 * rows / whole_height)[:, None].expand(height, width)
    x = ((2.0 * columns - whole_width) / whole_height)[None, :].expand(height, width)
    on_plane = torch.stack([x, y], dim=-1)
    half_height = (cameras.fovy_deg.deg2rad() / 2).tan()
    in_plane = on_plane * half_height[:, None, None, None]
    in_camera = torch.cat([in_plane, -torch.ones_like(in_plane[..., :1])], dim=-1)
    directions = torch.einsum("vij,vhwj->vhwi", c2w[:, :3, :3], in_camera)
    directions = torch.nn.functional.normalize(directions, dim=-1)
    return Rays(c2w[:, None, None, :3, 3].expand_as(directions), directions)


def view_names(cameras: Cameras, bins: ViewBins) -> list[ViewName]:
    """The word for each of the views."""
    angles = torch.stack([cameras.elevation_deg, cameras.azimuth_deg], dim=-1).tolist()
    return [view_name(elevation, azimuth, bins) for elevation, azimuth in angles]


def view_name(elevation_deg: float, azimuth_deg: float, bins: ViewBins) -> ViewName:
    """The word that a prompt uses for a view from this direction; any azimuth is brought into (-180, 180]."""
    if elevation_deg >= bins.overhead_deg:
        return "overhead"
    if elevation_deg <= bins.bottom_deg:
        return "bottom"
    from_front = abs((azimuth_deg + 180.0) % 360.0 - 180.0)
    if from_front <= bins.front_half_width_deg:
        return "front"
    if from_front >= 180.0 - bins.front_half_width_deg:
        return "back"
    return "side"

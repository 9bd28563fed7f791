"""How a denoiser is told where each picture was taken from: ray maps as further channels, and the camera as numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from toybox.buffers import View

RAY_CHANNELS = 6  # direction and moment
POSE_NUMBERS = 16  # a flattened 4x4 matrix

# What programs must know to tell this model its cameras; written beside model_index.json as `cameras.json`.
#
#     ray_maps    six channels after the latents': the unit direction d of the ray from the camera through the middle of
#                 each latent cell, and its moment o x d, in world axes and units
#     pose        as class_labels, 16 numbers: camera-to-world, row by row (OpenGL: x right, y up, looks along -z), the
#                 camera moved to unit distance from the origin
#     up_axis     of the world; the front looks along +z, x is to the viewer's right in the front view
#     n_together  views of one object that it looks at together
#
# A camera that the model is not to know is all zeros in both.
CONVENTION = {"n_together": 4, "ray_maps": True, "pose": True, "up_axis": "y"}


@dataclass(frozen=True)
class ToldCameras:
    """What the denoiser is told of each picture's camera.

    Attributes:
        rays: unit direction d and moment o x d of the ray through each latent cell, [batch, 6, size, size].
        poses: flattened camera-to-world matrices at unit distance, [batch, 16].
    """

    rays: Tensor
    poses: Tensor

    def kept(self, keep: Tensor) -> "ToldCameras":
        """The same with zeros for the cameras where `keep`, bool [batch], is false."""
        return ToldCameras(self.rays * keep[:, None, None, None], self.poses * keep[:, None])


def camera_to_world(views: Sequence[View]) -> Tensor:
    """Camera-to-world matrices (OpenGL axes) of views on the orbit, [views, 4, 4]."""
    elevation, azimuth = np.radians([(v.elevation_deg, v.azimuth_deg) for v in views]).T
    zero = np.zeros_like(azimuth)
    right = np.stack([np.cos(azimuth), zero, -np.sin(azimuth)], axis=1)
    backward = np.stack(
        [np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)], axis=1
    )
    matrices = np.tile(np.eye(4), (len(views), 1, 1))
    matrices[:, :3, 0], matrices[:, :3, 1], matrices[:, :3, 2] = right, np.cross(backward, right), backward
    matrices[:, :3, 3] = backward * np.array([[view.radius] for view in views])
    return torch.from_numpy(matrices).float()


def tell(views: Sequence[View], size: int) -> ToldCameras:
    """What the denoiser is told of these views, for latents of `size` cells a side.

    Source: ray maps as in CAT3D (arXiv:2405.10314), the pose as in MVDream (arXiv:2308.16512).
    """
    c2w = camera_to_world(views)
    half = torch.tensor([view.fovy_deg for view in views]).deg2rad().div(2).tan()[:, None, None]
    steps = (torch.arange(size) + 0.5) / size * 2 - 1
    across, down = torch.meshgrid(steps, steps, indexing="xy")
    inward = torch.stack([across * half, -down * half, -torch.ones(len(views), size, size)], dim=1)
    directions = torch.einsum("vij,vjhw->vihw", c2w[:, :3, :3], inward)
    directions = directions / directions.norm(dim=1, keepdim=True)
    origins = c2w[:, :3, 3, None, None].expand_as(directions)
    poses = c2w.clone()
    poses[:, :3, 3] /= poses[:, :3, 3].norm(dim=1, keepdim=True)
    return ToldCameras(torch.cat([directions, origins.cross(directions, dim=1)], dim=1), poses.flatten(1))

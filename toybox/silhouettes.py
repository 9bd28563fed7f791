"""Silhouettes of pictures from several sides, and the visual hull: the largest solid that fits all of them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from toybox.buffers import View
from toybox.told_cameras import camera_to_world
from toybox.world import load_world

HULL_CELLS = 48  # along each side of the cube around the world's ball
DIFFERENT = 0.08  # least difference from the background in any channel, in 0..1, that is no noise


def border_colour(pictures: Tensor) -> Tensor:
    """The median colour of each picture's border, [views, 3], for pictures [views, 3, size, size]."""
    edges = [pictures[..., 0, :], pictures[..., -1, :], pictures[..., 0], pictures[..., -1]]
    return torch.cat(edges, dim=-1).median(dim=-1).values


def silhouettes(pictures: Tensor) -> Tensor:
    """Where pictures [views, 3, size, size] in 0..1 differ from their border's colour, bool [views, size, size].

    Pixels that an object covers only in part count as covered; true pictures are to be masked in the same way.
    """
    return (pictures - border_colour(pictures)[..., None, None]).abs().amax(dim=1) > DIFFERENT


def visual_hull(masks: Tensor, views: Sequence[View]) -> Tensor:
    """Cells of the cube around the world's ball that lie inside every silhouette, bool [HULL_CELLS] * 3.

    Args:
        masks: bool, [views, size, size].
    """
    radius = load_world().object_radius
    side = ((torch.arange(HULL_CELLS) + 0.5) / HULL_CELLS * 2 - 1) * radius
    points = torch.stack(torch.meshgrid(side, side, side, indexing="ij"), dim=-1).flatten(0, 2)
    inside = torch.ones(len(points), dtype=torch.bool)
    for mask, view, c2w in zip(masks, views, camera_to_world(views), strict=True):
        x, y, backward = ((points - c2w[:3, 3]) @ c2w[:3, :3]).unbind(dim=-1)
        half = torch.tensor(view.fovy_deg).deg2rad().div(2).tan()
        place = torch.stack([x, -y], dim=-1) / (-backward * half)[:, None]
        seen = F.grid_sample(mask[None, None].float(), place[None, None], mode="nearest", align_corners=False)
        inside &= seen[0, 0, 0] > 0.5
    return inside.view(HULL_CELLS, HULL_CELLS, HULL_CELLS)


def overlap(one: Tensor, other: Tensor) -> float:
    """Intersection over union of two masks."""
    return ((one & other).sum() / (one | other).sum().clamp(min=1)).item()

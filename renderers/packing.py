"""Samples as one list: those of all rays that may hold something, ray after ray, nearest first.

Rays differ in how many of their samples lie in occupied cells. A table with a row per ray would be mostly holes; the
list has none, so the field sees no point in vain.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.types import TensorRecord
from renderers.occupancy import OccupancyGrid
from renderers.sampling import Intervals


@dataclass(frozen=True)
class PackedSamples(TensorRecord):
    """Samples of many rays, ray after ray."""

    positions: Float[Tensor, "samples 3"]
    distances: Float[Tensor, "samples"]
    """From the ray's origin, in world units."""
    widths: Float[Tensor, "samples"]
    """Lengths of their intervals."""
    ray_index: Int[Tensor, "samples"]
    """The ray that each lies on."""
    rank: Int[Tensor, "samples"]
    """How many samples of the same ray lie in front of it."""


@torch.no_grad()
def pack(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    intervals: Intervals,
    occupancy: OccupancyGrid,
) -> PackedSamples:
    """The samples whose interval has a length and whose cell is occupied."""
    ray_index, column = (intervals.widths > 0).nonzero(as_tuple=True)
    distances = intervals.distances[ray_index, column]
    positions = torch.addcmul(origins[ray_index], directions[ray_index], distances[:, None])
    kept = occupancy.contains(positions).nonzero()[:, 0]
    ray_index = ray_index[kept]
    n_before = torch.searchsorted(ray_index, torch.arange(len(origins), device=origins.device))
    rank = torch.arange(len(kept), device=origins.device) - n_before[ray_index]
    widths = intervals.widths[ray_index, column[kept]]
    return PackedSamples(positions[kept], distances[kept], widths, ray_index, rank)

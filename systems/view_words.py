"""The middle of what each view word covers, and directions drawn towards it."""

import torch
from jaxtyping import Float
from torch import Tensor

from core.cameras import ViewBins


def drawn_to(middle: Tensor | float, value: Tensor, spread: float) -> Tensor:
    """Values at a share `spread` of their distance from a middle."""
    return middle + spread * (value - middle)


def middle_azimuths(azimuth_deg: Float[Tensor, "views"], bins: ViewBins) -> Float[Tensor, "views"]:
    """The middle of what each azimuth's word covers: 0 for front, +-180 for back, +-90 for the sides."""
    from_front = azimuth_deg.abs()
    middle = torch.full_like(azimuth_deg, 90.0)
    middle[from_front <= bins.front_half_width_deg] = 0.0
    middle[from_front >= 180 - bins.front_half_width_deg] = 180.0
    return middle.copysign(azimuth_deg)


def middle_elevations(
    elevation_deg: Float[Tensor, "views"], bounds: tuple[float, float], bins: ViewBins
) -> Float[Tensor, "views"]:
    """Likewise for elevations, of the part of each word that the range of all elevations leaves."""
    low, high = bounds
    middle = torch.full_like(elevation_deg, (max(low, bins.bottom_deg) + min(high, bins.overhead_deg)) / 2)
    middle[elevation_deg >= bins.overhead_deg] = (max(low, bins.overhead_deg) + high) / 2
    middle[elevation_deg <= bins.bottom_deg] = (low + min(high, bins.bottom_deg)) / 2
    return middle

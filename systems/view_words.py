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


def toward_front_and_back(azimuth_deg: Float[Tensor, "views"], sides: float, bins: ViewBins) -> Float[Tensor, "views"]:
    """Azimuths of the whole circle, drawn together around the front and around the back, evenly.

    Args:
        azimuth_deg: from -180 to 180.
        sides: 0 leaves what the words front and back cover, 1 changes nothing.
    """
    half = bins.front_half_width_deg
    share = (half + sides * (90 - half)) / 90
    from_front = azimuth_deg.abs()
    drawn = torch.where(from_front <= 90, share * from_front, 180 - share * (180 - from_front))
    return drawn.copysign(azimuth_deg)


def middle_elevations(
    elevation_deg: Float[Tensor, "views"], bounds: tuple[float, float], bins: ViewBins
) -> Float[Tensor, "views"]:
    """Likewise for elevations, of the part of each word that the range of all elevations leaves."""
    low, high = bounds
    middle = torch.full_like(elevation_deg, (max(low, bins.bottom_deg) + min(high, bins.overhead_deg)) / 2)
    middle[elevation_deg >= bins.overhead_deg] = (max(low, bins.overhead_deg) + high) / 2
    middle[elevation_deg <= bins.bottom_deg] = (low + min(high, bins.bottom_deg)) / 2
    return middle

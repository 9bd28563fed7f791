"""`narrowed-orbit`: cameras that begin in the middle of what each view word means, and on one side of the object.

For models that hardly mind the view word. "Front view" is for them the view from straight ahead: asked at the edges of
the word, they pull the object askew, from each edge another way. "Side view" does not say which side: where both are
shown from the first step on, each may put a head at another end.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from core.cameras import ViewBins
from core.errors import require
from core.kinds import Guidance
from core.schedule import Schedule, require_values
from core.types import Cameras
from systems.views.orbit import CameraRanges, Orbit, Range

CIRCLE = (-180.0, 180.0)


class NarrowedOrbit(Orbit, name="narrowed-orbit"):
    """An orbit that begins narrow and widens over the training."""

    @dataclass(frozen=True)
    class Config(Orbit.Config):
        """Ranges of the training cameras, and how they open."""

        spread: Schedule = field(default_factory=lambda: Schedule.constant(1.0))
        """Share of the ranges, and of what a view word covers, that training views fill around its middle."""
        first_azimuth_deg: Range = CIRCLE
        """Range of the azimuths that training begins with. From [-35, 180], front, one side and back, an object has
        decided which way it looks when the other side comes in view."""
        opened: Schedule = field(default_factory=lambda: Schedule.constant(1.0))
        """How far that range has opened: 0 is `first_azimuth_deg`, 1 the whole circle."""

        def __post_init__(self) -> None:
            super().__post_init__()
            first, last = self.first_azimuth_deg
            require(
                -180 <= first < last <= 180,
                f"first_azimuth_deg: two rising numbers from -180 to 180, got [{first:g}, {last:g}]",
            )
            for name in ("spread", "opened"):
                require_values(name, getattr(self, name), most=1.0)
            require(
                self.first_azimuth_deg == CIRCLE or self.opened != Schedule.constant(1.0),
                "first_azimuth_deg: does nothing while opened is 1; say opened: {start: 0, end: 1, from: 0.1, to: 0.3}",
            )

    def __init__(self, config: Config, guidance: Guidance, seed: int) -> None:
        super().__init__(config, guidance, seed)
        self.config: NarrowedOrbit.Config = config
        self.bins = guidance.trained_on.view_bins if guidance.trained_on else ViewBins()

    def draw(self, size: int, step: int, total_steps: int, rng: Generator) -> Cameras:
        """One view in each sector of the range of azimuths that is open by now, drawn to the middle of its word."""
        config, n_views = self.config, self.n_views
        spread, opened = (schedule.at(step, total_steps) for schedule in (config.spread, config.opened))
        share = torch.rand(4, n_views, generator=rng, device=rng.device)
        elevation_deg = self.ranges.elevations(share[0], config.uniform_in)
        first, last = (
            bound + opened * (whole - bound) for bound, whole in zip(config.first_azimuth_deg, CIRCLE, strict=True)
        )
        azimuth_deg = first + (last - first) * (torch.arange(n_views, device=rng.device) + share[1]) / n_views
        if spread != 1:
            azimuth_deg = drawn_to(middle_azimuths(azimuth_deg, self.bins), azimuth_deg, spread)
            elevation_deg = drawn_to(middle_elevations(elevation_deg, self.ranges, self.bins), elevation_deg, spread)
            share = drawn_to(0.5, share, spread)
        return self.ranges.cameras(elevation_deg, azimuth_deg, size, share[2], share[3])


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
    elevation_deg: Float[Tensor, "views"], ranges: CameraRanges, bins: ViewBins
) -> Float[Tensor, "views"]:
    """The middle of what each elevation's word covers, of the part that the range of all elevations leaves of it."""
    low, high = ranges.elevation_deg
    middle = torch.full_like(elevation_deg, (max(low, bins.bottom_deg) + min(high, bins.overhead_deg)) / 2)
    middle[elevation_deg >= bins.overhead_deg] = (max(low, bins.overhead_deg) + high) / 2
    middle[elevation_deg <= bins.bottom_deg] = (low + min(high, bins.bottom_deg)) / 2
    return middle

"""`orbit`: cameras around the object, in random directions to train with, in fixed ones to look at.

Source: Latent-NeRF (arXiv:2211.07600), section 4, after DreamFusion (arXiv:2209.14988), section 3.2, item 1. Here the
elevations are uniform over the sphere's surface, which does not crowd the poles, and the azimuths of a step are
stratified, so that no step sees one side only.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from core.cameras import STEEPEST_DEG, orbit_cameras
from core.errors import UserError, require
from core.kinds import Guidance, Views
from core.memory import VIEW, require_size
from core.types import Cameras

Range = tuple[float, float]
GOLDEN_ANGLE_DEG = 180 * (3 - 5**0.5)
RANGES = ("elevation_deg", "radius", "fovy_deg")


@dataclass(frozen=True)
class CameraRanges:
    """Where cameras stand around the origin."""

    elevation_deg: Range
    """Least and most; brought to within 88 degrees of the horizon."""
    radius: Range
    """Least and most distance from the origin, in world units."""
    fovy_deg: Range
    """Least and most vertical field of view."""
    framed: bool = False
    """Whether `radius` is in multiples of 1 / tan(fovy / 2), so that a narrow view does not show the object larger."""

    def elevations(
        self, share: Float[Tensor, "views"], uniform_in: Literal["sphere", "angle"] = "sphere"
    ) -> Float[Tensor, "views"]:
        """Elevations in degrees at shares from 0 to 1 of the range, uniform over the sphere or in the angle."""
        low, high = (max(-STEEPEST_DEG, min(STEEPEST_DEG, bound)) for bound in self.elevation_deg)
        if uniform_in == "angle":
            return between((low, high), share)
        # A band of the unit sphere has an area proportional to its height (Archimedes): uniform in the sine.
        return between((math.sin(math.radians(low)), math.sin(math.radians(high))), share).asin().rad2deg()

    def cameras(
        self,
        elevation_deg: Float[Tensor, "views"],
        azimuth_deg: Float[Tensor, "views"],
        size: int,
        radius_share: Tensor | None = None,
        fovy_share: Tensor | None = None,
    ) -> Cameras:
        """Cameras that look at the origin, in the middle of the other two ranges or at shares of them from 0 to 1."""
        radius, fovy_deg = (
            torch.full_like(elevation_deg, sum(bounds) / 2) if share is None else between(bounds, share)
            for bounds, share in ((self.radius, radius_share), (self.fovy_deg, fovy_share))
        )
        if self.framed:
            radius = radius / (fovy_deg.deg2rad() / 2).tan()
        return orbit_cameras(elevation_deg, azimuth_deg, radius, fovy_deg, size, size)


def between(bounds: Range, share: Tensor) -> Tensor:
    """Numbers at a share, from 0 to 1, of the way from one bound to the other."""
    low, high = bounds
    return low + (high - low) * share


def cameras_around(
    ranges: CameraRanges, elevation_deg: float, n_views: int, size: int, device: torch.device | str = "cpu"
) -> Cameras:
    """Views evenly around the object from its front on, at an elevation that is brought into the range."""
    low, high = ranges.elevation_deg
    azimuth = torch.arange(n_views, device=device) * (360.0 / n_views)
    return ranges.cameras(torch.full_like(azimuth, min(max(elevation_deg, low), high)), azimuth, size)


def cameras_everywhere(ranges: CameraRanges, n_views: int, size: int, device: torch.device | str = "cpu") -> Cameras:
    """Views spread evenly over a part of the sphere, along a spiral of the golden angle.

    Source: Swinbank and Purser, Fibonacci grids: a novel approach to global modelling (2006).
    """
    order = torch.arange(n_views, device=device)
    return ranges.cameras(ranges.elevations((order + 0.5) / n_views), (order * GOLDEN_ANGLE_DEG) % 360, size)


class OrbitingViews(Views):
    """Views whose fixed cameras, for people and exporters, stand where training cameras do."""

    ranges: CameraRanges
    """Where training cameras stand."""

    @dataclass(frozen=True)
    class Config:
        """Settings that all of them have."""

        shown_elevation_deg: float = 20.0
        """Elevation of previews and turntables."""

    def __init__(self, config: Config, guidance: Guidance, seed: int) -> None:
        self.config, self.seed = config, seed

    def around(self, n_views: int, size: int, device: torch.device) -> Cameras:
        """Evenly around the object from its front on, in the middle of radius and field of view."""
        return cameras_around(self.ranges, self.config.shown_elevation_deg, n_views, size, device)

    def everywhere(self, n_views: int, size: int, device: torch.device) -> Cameras:
        """Spread evenly over the part of the sphere that training sees."""
        return cameras_everywhere(self.ranges, n_views, size, device)


class RandomViews(OrbitingViews):
    """Views from random cameras within ranges that the recipe gives, or the model."""

    @dataclass(frozen=True)
    class Config(OrbitingViews.Config):
        """Ranges of the training cameras."""

        MOVED: ClassVar[Mapping[str, str]] = dict.fromkeys(
            ("spread", "opened", "first_azimuth_deg"), "type: multi-view, with guidance that is told its cameras,"
        )

        from_model: bool = False
        """Whether the three ranges below are replaced by those that the diffusion model was trained with."""
        elevation_deg: Range = (-60.0, 90.0)
        """Least and most elevation; views stay 2 degrees away from the poles."""
        radius: Range = (1.0, 1.5)
        """Least and most distance from the origin, in world units."""
        fovy_deg: Range = (40.0, 70.0)
        """Least and most vertical field of view."""
        uniform_in: Literal["sphere", "angle"] = "sphere"
        """Elevations are drawn uniformly over the sphere's surface, or in degrees (more views from the poles)."""

        def __post_init__(self) -> None:
            for name in RANGES:
                low, high = getattr(self, name)
                require(low <= high, f"{name}: the range [{low:g}, {high:g}] runs downwards")
            require(self.elevation_deg[0] >= -90 and self.elevation_deg[1] <= 90, "elevation_deg: from -90 to 90")
            require(self.radius[0] > 0, f"radius: above 0, got {self.radius[0]:g}")
            require(self.fovy_deg[0] > 0 and self.fovy_deg[1] < 180, "fovy_deg: between 0 and 180")

    def __init__(self, config: Config, guidance: Guidance, seed: int) -> None:
        """Find the cameras' ranges.

        Raises:
            UserError: `from_model` is asked of a model that says nothing of its cameras.
        """
        super().__init__(config, guidance, seed)
        source: Any = guidance.trained_on if config.from_model else config
        if source is None:
            raise UserError(
                f"{self.setting('from_model')}: this model says nothing of its cameras (it has no world.json); "
                "give elevation_deg, radius and fovy_deg instead"
            )
        self.config: RandomViews.Config = config
        self.ranges = CameraRanges(*(getattr(source, name) for name in RANGES))


class Orbit(RandomViews, name="orbit"):
    """Random cameras around the object, anew at every step."""

    @dataclass(frozen=True)
    class Config(RandomViews.Config):
        """Ranges of the training cameras, and how many there are in a step."""

        n_views: int = 4
        """Views of one training step."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require_size("n_views", self.n_views, self.n_views * VIEW)

    def __init__(self, config: Config, guidance: Guidance, seed: int) -> None:
        super().__init__(config, guidance, seed)
        self.config: Orbit.Config = config
        self.n_views = config.n_views

    def draw(self, size: int, step: int, total_steps: int, rng: Generator) -> Cameras:
        """One view in each of `n_views` sectors of the circle."""
        return self.stratified(self.n_views, size, rng)

    def stratified(self, n_views: int, size: int, rng: Generator) -> Cameras:
        """Random cameras, each in a sector of its own, sorted by azimuth."""
        share = torch.rand(4, n_views, generator=rng, device=rng.device)
        elevation_deg = self.ranges.elevations(share[0], self.config.uniform_in)
        azimuth_deg = -180 + 360 * (torch.arange(n_views, device=rng.device) + share[1]) / n_views
        return self.ranges.cameras(elevation_deg, azimuth_deg, size, share[2], share[3])

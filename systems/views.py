"""Where views are taken from: random ones to train with, fixed ones to look at.

Source: Latent-NeRF (arXiv:2211.07600), section 4, after DreamFusion (arXiv:2209.14988), section 3.2, item 1. Here the
elevations are uniform over the sphere's surface, which does not crowd the poles, and the azimuths of a step are
stratified, so that no step sees one side only.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from core.cameras import STEEPEST_DEG, ViewBins, orbit_cameras
from core.errors import UserError, require
from core.schedule import Schedule
from core.types import Cameras
from core.world import World
from systems.view_words import drawn_to, middle_azimuths, middle_elevations

Range = tuple[float, float]
GOLDEN_ANGLE_DEG = 180 * (3 - 5**0.5)
RANGES = ("elevation_deg", "radius", "fovy_deg")
CIRCLE = (-180.0, 180.0)
USUAL_BINS = ViewBins()


@dataclass(frozen=True)
class Views:
    """Ranges of the training cameras."""

    from_model: bool = False
    """Whether the three ranges below are replaced by those that the diffusion model was trained with."""
    elevation_deg: Range = (-60.0, 90.0)
    """Least and most elevation; views stay 2 degrees away from the poles."""
    radius: Range = (1.0, 1.5)
    """Least and most distance from the origin, in world units."""
    fovy_deg: Range = (40.0, 70.0)
    """Least and most vertical field of view."""
    uniform_in: Literal["sphere", "angle"] = "sphere"
    """Elevations are drawn uniformly over the sphere's surface, or uniformly in degrees (more views from the poles)."""
    n_views: int = 4
    """Views of one training step."""
    spread: Schedule = field(default_factory=lambda: Schedule.constant(1.0))
    """Share of the ranges, and of what a view word covers, that training views fill around its middle; 1 is all of it.
    A denoiser takes "front view" for the view from straight ahead at a middling height and distance: asked at the edges
    of the word, it pulls the object askew, from each edge another way."""
    first_azimuth_deg: Range = CIRCLE
    """Range of the azimuths that training begins with, before it opens to the whole circle. "Side view" does not say
    which side: where both are shown from the first step on, each may put a head at another end. From [-35, 180],
    front, one side and back, an object has decided which way it looks when the other side comes in view."""
    opened: Schedule = field(default_factory=lambda: Schedule.constant(1.0))
    """How far that range has opened: 0 is `first_azimuth_deg`, 1 the whole circle."""
    shown_elevation_deg: float = 20.0
    """Elevation of previews and turntables."""

    def __post_init__(self) -> None:
        for name in RANGES:
            low, high = getattr(self, name)
            require(low <= high, f"{name}: the range [{low:g}, {high:g}] runs downwards")
        require(self.elevation_deg[0] >= -90 and self.elevation_deg[1] <= 90, "elevation_deg: from -90 to 90")
        first, last = self.first_azimuth_deg
        require(
            -180 <= first < last <= 180,
            f"first_azimuth_deg: two rising numbers from -180 to 180, got [{first:g}, {last:g}]",
        )
        require(self.radius[0] > 0, f"radius: above 0, got {self.radius[0]:g}")
        require(self.fovy_deg[0] > 0 and self.fovy_deg[1] < 180, "fovy_deg: between 0 and 180")
        require(self.n_views >= 1, f"n_views: at least 1, got {self.n_views}")
        for name in ("spread", "opened"):
            shares = getattr(self, name).values
            require(all(0 <= share <= 1 for share in shares), f"{name}: a share from 0 to 1, got {shares}")
        require(
            self.first_azimuth_deg == CIRCLE or self.opened != Schedule.constant(1.0),
            "first_azimuth_deg: does nothing while opened is 1; say opened: {start: 0, end: 1, from: 0.1, to: 0.3}",
        )

    def settled(self, world: World | None, known: Cameras | None) -> "Views":
        """These settings with the ranges that hold: known cameras' before the model's before the recipe's.

        Raises:
            UserError: `from_model` is asked of a model that says nothing of its cameras.
        """
        if known is not None:
            distance = known.c2w[:, :3, 3].norm(dim=-1)
            ranges = zip(RANGES, (known.elevation_deg, distance, known.fovy_deg), strict=True)
            return dataclasses.replace(self, **{name: (float(v.min()), float(v.max())) for name, v in ranges})
        if not self.from_model:
            return self
        if world is None:
            raise UserError(
                "system.cameras.from_model: this model says nothing of its cameras (it has no world.json); "
                "give elevation_deg, radius and fovy_deg instead"
            )
        return dataclasses.replace(self, **{name: getattr(world, name) for name in RANGES})


def random_views(
    views: Views,
    size: int,
    rng: torch.Generator,
    known: Cameras | None = None,
    spread: float = 1.0,
    opened: float = 1.0,
    bins: ViewBins = USUAL_BINS,
) -> Cameras:
    """Cameras of one training step, in pictures of size x size.

    Args:
        known: the only cameras to choose from, where guidance knows no others.
        spread: of `Views.spread`, at this step.
        opened: of `Views.opened`, at this step.
        bins: where the words for views begin and end.
    """
    if known is not None:
        chosen = torch.randint(len(known), (views.n_views,), generator=rng, device=rng.device)
        return known.to(rng.device).resized(size, size).chosen(chosen)
    share = torch.rand(4, views.n_views, generator=rng, device=rng.device)
    strata = torch.arange(views.n_views, device=rng.device)
    elevation_deg = _elevations(views, share[0])
    first, last = (
        bound + opened * (whole - bound) for bound, whole in zip(views.first_azimuth_deg, CIRCLE, strict=True)
    )
    azimuth_deg = first + (last - first) * (strata + share[1]) / views.n_views
    if spread != 1:
        azimuth_deg = drawn_to(middle_azimuths(azimuth_deg, bins), azimuth_deg, spread)
        elevation_deg = drawn_to(middle_elevations(elevation_deg, views.elevation_deg, bins), elevation_deg, spread)
        share = drawn_to(0.5, share, spread)
    return orbit_cameras(
        elevation_deg=elevation_deg,
        azimuth_deg=azimuth_deg,
        radius=_between(views.radius, share[2]),
        fovy_deg=_between(views.fovy_deg, share[3]),
        height=size,
        width=size,
    )


def shown_views(views: Views, n_views: int, size: int, device: torch.device | str = "cpu") -> Cameras:
    """Fixed views for people: evenly around the object from its front on, in the middle of radius and field of view."""
    low, high = views.elevation_deg
    elevation = min(max(views.shown_elevation_deg, low), high)
    turn = torch.arange(n_views, device=device) * (360.0 / n_views)
    same = torch.ones(n_views, device=device)
    return orbit_cameras(
        elevation_deg=elevation * same,
        azimuth_deg=turn,
        radius=sum(views.radius) / 2 * same,
        fovy_deg=sum(views.fovy_deg) / 2 * same,
        height=size,
        width=size,
    )


def spread_views(views: Views, n_views: int, size: int, device: torch.device | str = "cpu") -> Cameras:
    """Fixed views spread evenly over the part of the sphere that training saw, along a spiral of the golden angle.

    Source: Swinbank and Purser, Fibonacci grids: a novel approach to global modelling (2006).
    """
    order = torch.arange(n_views, device=device)
    same = torch.ones(n_views, device=device)
    over_the_sphere = dataclasses.replace(views, uniform_in="sphere")
    return orbit_cameras(
        elevation_deg=_elevations(over_the_sphere, (order + 0.5) / n_views),
        azimuth_deg=(order * GOLDEN_ANGLE_DEG) % 360,
        radius=sum(views.radius) / 2 * same,
        fovy_deg=sum(views.fovy_deg) / 2 * same,
        height=size,
        width=size,
    )


def _elevations(views: Views, share: Float[Tensor, "views"]) -> Float[Tensor, "views"]:
    low, high = (max(-STEEPEST_DEG, min(STEEPEST_DEG, bound)) for bound in views.elevation_deg)
    if views.uniform_in == "angle":
        return _between((low, high), share)
    # A band of the unit sphere has an area proportional to its height (Archimedes): uniform in the sine.
    return _between((math.sin(math.radians(low)), math.sin(math.radians(high))), share).asin().rad2deg()


def _between(bounds: Range, share: Float[Tensor, "views"]) -> Float[Tensor, "views"]:
    low, high = bounds
    return low + (high - low) * share

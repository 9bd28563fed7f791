"""Where along its ray the scene is looked at: inside of a ball, in intervals of equal length, one sample in each.

Words used here:
    near, far   distances at which a ray enters and leaves the ball, in world units.
    interval    a piece of the ray between them; a sample stands for its whole interval.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Intervals:
    """One sample in each interval of each ray; where a ray has fewer intervals than the longest, the width is 0."""

    distances: Float[Tensor, "rays samples"]
    """Of the samples, from the ray's origin, in world units."""
    widths: Float[Tensor, "rays samples"]
    """Lengths of the intervals; over a ray they add up to far - near."""


def ball_span(
    origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], radius: float
) -> tuple[Float[Tensor, "rays"], Float[Tensor, "rays"]]:
    """Near and far of each ray in the ball around the world's origin; a ray that misses it has far = near.

    A camera inside of the ball starts at itself: near is never below 0.

    Args:
        directions: of unit length.
        radius: of the ball, in world units.
    """
    to_middle = -(origins * directions).sum(dim=-1)
    closest = origins + to_middle[:, None] * directions
    half_chord = (radius**2 - closest.square().sum(dim=-1)).clamp_min(0).sqrt()
    near = (to_middle - half_chord).clamp_min(0)
    far = (to_middle + half_chord).clamp_min(0)
    return near, torch.maximum(near, far)


def stratified_intervals(
    near: Float[Tensor, "rays"],
    far: Float[Tensor, "rays"],
    step: float,
    n_intervals: int,
    places: Float[Tensor, "rays intervals"] | None = None,
) -> Intervals:
    """Intervals of length `step` from near to far, the last one cut short, each with one sample.

    Equal lengths rather than equal numbers: a ray that only grazes the ball costs less, and all are equally fine.

    Args:
        step: length of an interval, in world units.
        n_intervals: how many of them the longest span takes.
        places: where in its interval each sample stands, from 0 to 1; None: in the middle.
    """
    starts = near[:, None] + step * torch.arange(n_intervals, dtype=near.dtype, device=near.device)
    widths = (far[:, None] - starts).clamp(0, step)
    return Intervals(starts + (0.5 if places is None else places) * widths, widths)


def ball_intervals(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    radius: float,
    n_intervals: int,
    places: Float[Tensor, "rays intervals"] | None = None,
) -> Intervals:
    """Intervals of each ray in the ball around the world's origin, `n_intervals` of them across its diameter."""
    near, far = ball_span(origins, directions, radius)
    return stratified_intervals(near, far, 2 * radius / n_intervals, n_intervals, places)

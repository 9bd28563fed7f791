"""`sketch-shape`: the field is solid where a sketch mesh is, softly or strictly.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.3. Deviations from the published code: the
cross-entropy has its arguments in order, so that it is one (there it is linear in what it should teach); nothing is
clamped, since a clamp has no gradient just where the field is wrong; only real samples are averaged.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.errors import require
from core.kinds import TrainingStep
from core.schedule import Schedule
from systems.losses.sketch import SketchLoss

# Added to the density, so that the logarithm of an empty sample's occupancy is finite.
FAINTEST_DENSITY = 1e-6


class SketchShapeLoss(SketchLoss, name="sketch-shape"):
    """Cross-entropy of the field's occupancy against the sketch's."""

    @dataclass(frozen=True)
    class Config(SketchLoss.Config):
        """The sketch, and how strictly its shape is followed."""

        weight: Schedule = field(default_factory=lambda: Schedule.constant(15.0), kw_only=True)
        """Of the term; the paper's, brought to a mean over samples."""
        delta: float = 0.2
        """Length over which a density becomes an occupancy, in world units: 0.2 as in the paper's code. The boundary is
        then drawn at a density of ln 2 / delta, and rays see a surface at about 12 where objects are half a unit large:
        0.06 brings both together (a robot's overlap with its sketch 0.83 -> 0.92)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.delta > 0, f"delta: above 0, got {self.delta:g}")

    def forward(self, now: TrainingStep) -> Float[Tensor, ""]:
        """Of the step's samples, weighed by their distance from the sketch's surface."""
        samples = self.samples(now)
        reading = self.sketch(samples.positions)
        strictness = self.strictness(samples.positions, reading)
        loss = shape_loss(samples.density, reading.occupied, strictness, self.config.delta)
        return now.rank.share_factor(len(samples.density)) * loss


def shape_loss(
    density: Float[Tensor, "samples"],
    occupied: Bool[Tensor, "samples"],
    strictness: Float[Tensor, "samples"],
    delta: float,
) -> Float[Tensor, ""]:
    """Cross-entropy of a field's occupancy against a sketch's, weighed and averaged over the samples, in float32.

    The occupancy of a sample is a = 1 - exp(-delta x density), so with the sketch's a* in {0, 1}

        -a* log a - (1 - a*) log(1 - a) = a* (-log(-expm1(-delta x density))) + (1 - a*) delta x density.

    Args:
        strictness: weight of each sample, from `distance_weight`; 0 where the sketch is silent.
        delta: in world units.

    Source: Latent-NeRF (arXiv:2211.07600), section 3.3; the top of this module says where its code differs.
    """
    if not len(density):
        return density.float().sum()
    depth = delta * (density.float() + FAINTEST_DENSITY)
    entropy = torch.where(occupied, -torch.log(-torch.expm1(-depth)), depth)
    return (entropy * strictness).mean()

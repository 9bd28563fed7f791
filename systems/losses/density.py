"""`density`: where no picture asks for density, there should be none; a mug becomes hollow."""

from dataclasses import dataclass, field

from jaxtyping import Bool, Float
from torch import Tensor

from core.errors import require
from core.kinds import Loss, TrainingStep
from core.schedule import Schedule


class DensityPenalty(Loss, name="density"):
    """Penalty on density in views from above."""

    needs = frozenset({"samples"})

    @dataclass(frozen=True)
    class Config(Loss.Config):
        """Settings of the density penalty."""

        weight: Schedule = field(default_factory=lambda: Schedule.constant(0.018), kw_only=True)
        """Of the term; at several times the default, what pictures ask for goes too."""
        min_elevation_deg: float = 45.0
        """Elevation of the lowest views that count. From above, hollows are emptied; from below, so would be
        undersides, of which pictures say as little."""

        def __post_init__(self) -> None:
            super().__post_init__()
            lowest = self.min_elevation_deg
            require(-90 <= lowest <= 90, f"min_elevation_deg: from -90 to 90, got {lowest:g}")

    def forward(self, now: TrainingStep) -> Float[Tensor, ""]:
        """Of all samples of the step; 0 for those of views from below."""
        samples = now.render.samples
        assert samples is not None, "checked when the system was built"
        high = now.cameras.elevation_deg >= self.config.min_elevation_deg
        penalty = density_penalty(samples.density, high[samples.ray_index // now.render.opacity[0].numel()])
        return now.rank.share_factor(len(samples.density)) * penalty


def density_penalty(density: Float[Tensor, "samples"], counts: Bool[Tensor, "samples"]) -> Float[Tensor, ""]:
    """Mean of log(1 + 2 density^2), in float32, 0 in the place of samples that do not count; 0 without samples.

    Its derivative by the logarithm of a large density is constant: it empties what is dense as well as what is faint,
    where nothing speaks against it.

    Source: the sparsity term of SNeRG (arXiv:2103.14645) and Plenoxels (arXiv:2112.05131), here as a mean.
    """
    penalty = (2 * density.float().square()).log1p() * counts
    return penalty.mean() if len(density) else penalty.sum()

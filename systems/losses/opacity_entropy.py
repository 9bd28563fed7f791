"""`opacity-entropy`: rays should hit something or nothing."""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from core.kinds import Loss, TrainingStep
from core.schedule import Schedule


class OpacityEntropy(Loss, name="opacity-entropy"):
    """Mean uncertainty of the rays' opacity, in bits."""

    @dataclass(frozen=True)
    class Config(Loss.Config):
        """Settings of the opacity's entropy."""

        weight: Schedule = field(default_factory=lambda: Schedule.ramp(0.0, 0.008, begin=0.25, until=0.5), kw_only=True)
        """Of the term; off at first, when nothing is decided yet."""

    def forward(self, now: TrainingStep) -> Float[Tensor, ""]:
        """Of all rays of the step."""
        return opacity_entropy(now.render.opacity)


def opacity_entropy(opacity: Float[Tensor, "*rays"]) -> Float[Tensor, ""]:
    """Mean binary entropy of the rays' opacity, in bits: 0 where every ray is decided, 1 where none is.

    Source: the sparsity term of Latent-NeRF's code; log2, clamped at 1e-5 as there.
    """
    a = opacity.float().clamp(1e-5, 1 - 1e-5)
    return -(a * a.log2() + (1 - a) * (1 - a).log2()).mean()

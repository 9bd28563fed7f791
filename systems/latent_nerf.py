"""`latent-nerf`: a radiance field of latents, made by score distillation alone.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.1.
"""

from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Generator, Tensor

from core.kinds import DensityField
from core.part import Choice
from core.schedule import Schedule
from core.types import Cameras, RenderOutput
from systems.base import LightningSystem


@dataclass(frozen=True)
class Losses:
    """Weights of the loss terms. All terms are means, so a weight means the same at every size and precision."""

    sds: Schedule = field(default_factory=lambda: Schedule.constant(1.0))
    """Guidance: the prompt."""
    sparsity: Schedule = field(default_factory=lambda: Schedule.ramp(0.0, 0.008, begin=0.25, until=0.5))
    """Rays should hit something or nothing; off at first, when nothing is decided yet."""


class LatentNeRF(LightningSystem, name="latent-nerf"):
    """A latent radiance field from a prompt."""

    @dataclass(frozen=True)
    class Config(LightningSystem.Config):
        """Settings of Latent-NeRF."""

        geometry: Choice[DensityField]
        """The field that is trained."""
        losses: Losses = field(default_factory=Losses)
        """Weights of the loss terms."""

    def losses(self, cameras: Cameras, step: int, rng: Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The terms of one step: guidance, and sparsity of opacity."""
        return self.picture_losses(self.renderer(self.geometry, self.background, cameras, rng), cameras, step, rng)

    def picture_losses(
        self, render: RenderOutput, cameras: Cameras, step: int, rng: Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The terms that look at rendered views; methods that build on this one add theirs."""
        guidance = self.guidance(render.latents, cameras, step, self.total_steps, rng)
        terms = {"sds": guidance.loss, "sparsity": opacity_entropy(render.opacity)}
        return terms, {"opacity": render.opacity.detach().mean(), **guidance.metrics}


def opacity_entropy(opacity: Float[Tensor, "*rays"]) -> Float[Tensor, ""]:
    """Mean binary entropy of the rays' opacity, in bits: 0 where every ray is decided, 1 where none is.

    Source: the sparsity term of Latent-NeRF's code; log2, clamped at 1e-5 as there.
    """
    a = opacity.float().clamp(1e-5, 1 - 1e-5)
    return -(a * a.log2() + (1 - a) * (1 - a).log2()).mean()

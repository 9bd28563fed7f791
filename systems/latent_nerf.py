"""`latent-nerf`: a radiance field of latents, made by score distillation alone.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.1.
"""

from dataclasses import dataclass, field
from typing import Any

from jaxtyping import Bool, Float
from torch import Generator, Tensor

from core.errors import UserError, require
from core.kinds import DensityField, Renderer
from core.part import Choice
from core.schedule import Schedule
from core.types import Cameras, RaySamples, RenderOutput
from systems.base import LightningSystem


@dataclass(frozen=True)
class Losses:
    """Weights of the loss terms. All terms are means, so a weight means the same at every size and precision."""

    sds: Schedule = field(default_factory=lambda: Schedule.constant(1.0))
    """Guidance: the prompt."""
    sparsity: Schedule = field(default_factory=lambda: Schedule.ramp(0.0, 0.008, begin=0.25, until=0.5))
    """Rays should hit something or nothing; off at first, when nothing is decided yet."""
    density: Schedule = field(default_factory=lambda: Schedule.constant(0.0))
    """Where no picture asks for density, there should be none: a mug becomes hollow. About 0.018; several times that,
    and what pictures do ask for goes too."""
    density_from_deg: float = 45.0
    """Elevation of the lowest views that count for `density`. From above, hollows are emptied; from below, so would be
    undersides, of which pictures say as little."""

    def __post_init__(self) -> None:
        lowest = self.density_from_deg
        require(-90 <= lowest <= 90, f"density_from_deg: from -90 to 90, got {lowest:g}")


class LatentNeRF(LightningSystem, name="latent-nerf"):
    """A latent radiance field from a prompt."""

    @dataclass(frozen=True)
    class Config(LightningSystem.Config):
        """Settings of Latent-NeRF."""

        geometry: Choice[DensityField]
        """The field that is trained."""
        losses: Losses = field(default_factory=Losses)
        """Weights of the loss terms."""

    def __init__(self, config: Any, prompt: str, seed: int, total_steps: int) -> None:
        super().__init__(config, prompt, seed, total_steps)
        self._penalises_density = max(config.losses.density.values) > 0

    def losses(self, cameras: Cameras, step: int, rng: Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The terms of one step: guidance, and sparsity of opacity."""
        return self.picture_losses(self.renderer(self.geometry, self.background, cameras, rng), cameras, step, rng)

    def picture_losses(
        self, render: RenderOutput, cameras: Cameras, step: int, rng: Generator
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The terms that look at rendered views; methods that build on this one add theirs."""
        guidance = self.guidance(render.latents, cameras, step, self.total_steps, rng)
        terms = {"sds": guidance.loss, **self.shape_terms(render, cameras)}
        return terms, {"opacity": render.opacity.detach().mean(), **guidance.metrics}

    def shape_terms(self, render: RenderOutput, cameras: Cameras) -> dict[str, Tensor]:
        """The terms that see a rendering's shape alone."""
        terms = {"sparsity": opacity_entropy(render.opacity)}
        if self._penalises_density:
            samples = seen_samples(render, self.renderer)
            high = cameras.elevation_deg >= self.config.losses.density_from_deg
            counts = high[samples.ray_index // render.opacity[0].numel()]
            terms["density"] = density_penalty(samples.density, counts)
        return terms


def opacity_entropy(opacity: Float[Tensor, "*rays"]) -> Float[Tensor, ""]:
    """Mean binary entropy of the rays' opacity, in bits: 0 where every ray is decided, 1 where none is.

    Source: the sparsity term of Latent-NeRF's code; log2, clamped at 1e-5 as there.
    """
    a = opacity.float().clamp(1e-5, 1 - 1e-5)
    return -(a * a.log2() + (1 - a) * (1 - a).log2()).mean()


def density_penalty(density: Float[Tensor, "samples"], counts: Bool[Tensor, "samples"]) -> Float[Tensor, ""]:
    """Mean of log(1 + 2 density^2), in float32, 0 in the place of samples that do not count; 0 without samples.

    Its derivative by the logarithm of a large density is constant: it empties what is dense as well as what is faint,
    where nothing speaks against it.

    Source: the sparsity term of SNeRG (arXiv:2103.14645) and Plenoxels (arXiv:2112.05131), here as a mean.
    """
    penalty = (2 * density.float().square()).log1p() * counts
    return penalty.mean() if len(density) else penalty.sum()


def seen_samples(render: RenderOutput, renderer: Renderer) -> RaySamples:
    """The samples along a rendering's rays.

    Raises:
        UserError: the renderer gives none.
    """
    if render.samples is None:
        raise UserError(f"system.renderer: '{renderer.part_name}' gives no samples; use volume")
    return render.samples

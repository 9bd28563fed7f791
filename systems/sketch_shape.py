"""`sketch-shape`: Latent-NeRF whose shape follows a coarse mesh, softly or strictly.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.3. Deviations from the published code: the
cross-entropy has its arguments in order, so that it is one (there it is linear in what it should teach); nothing is
clamped, since a clamp has no gradient just where the field is wrong; only real samples are averaged.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor

from core.errors import UserError, require
from core.kinds import DensityField
from core.part import names
from core.schedule import Schedule
from core.types import Cameras, RaySamples, RenderOutput
from geometry.placement import Placement
from geometry.sketch import Corners, SketchReading, read_sketch
from renderers.normals import outward_normals
from renderers.volume import VolumeRenderer
from systems.latent_nerf import LatentNeRF, seen_samples

# Added to the density, so that the logarithm of an empty sample's occupancy is finite.
FAINTEST_DENSITY = 1e-6
# A sample that gives less than this to its ray shows no surface worth a normal.
FAINT_WEIGHT = 1e-3


@dataclass(frozen=True)
class SketchSettings(Placement):
    """The sketch, where it stands, and how strictly it is followed."""

    path: Path = field(kw_only=True)
    """The mesh file: OBJ, PLY, STL, GLB, glTF or OFF."""
    lenience: float = 0.3
    """The paper's sigma, in world units: near the surface, as far as about this, the field is free."""
    delta: float = 0.2
    """Length over which a density becomes an occupancy, in world units."""
    weight: Schedule = field(default_factory=lambda: Schedule.constant(15.0))
    """Weight of the shape loss."""
    normal_weight: Schedule = field(default_factory=lambda: Schedule.constant(0.0))
    """Weight of the normal loss, which turns the visible surface as the sketch's."""
    sample_stride: int = 2
    """The losses look at every so many-th sample of a step, at other ones in the next step: neighbours along a ray say
    much the same, and each costs a look at the tables."""
    complete_box: Corners | None = None
    """Two corners, in the mesh's own coordinates, of a box within which the sketch is silent; null for none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.lenience > 0, f"lenience: above 0, got {self.lenience:g}")
        require(self.delta > 0, f"delta: above 0, got {self.delta:g}")
        require(self.sample_stride >= 1, f"sample_stride: at least 1, got {self.sample_stride}")
        for name in ("weight", "normal_weight"):
            least = min(getattr(self, name).values)
            require(least >= 0, f"{name}: at least 0, got {least:g}")
        if self.complete_box is not None:
            low, high = self.complete_box
            ordered = all(first < last for first, last in zip(low, high, strict=True))
            require(ordered, f"complete_box: the first corner has the smaller numbers, got {list(low)}, {list(high)}")

    @property
    def wants_normals(self) -> bool:
        """Whether the normal loss ever counts."""
        return max(self.normal_weight.values) > 0


class SketchShape(LatentNeRF, name="sketch-shape"):
    """Latent-NeRF guided by a sketch mesh."""

    @dataclass(frozen=True)
    class Config(LatentNeRF.Config):
        """Settings of Sketch-Shape."""

        sketch: SketchSettings = field(kw_only=True)
        """The mesh to follow."""

    def __init__(self, config: Any, prompt: str, seed: int, total_steps: int) -> None:
        """Build the parts and tabulate the sketch.

        Raises:
            UserError: a geometry without density, or a mesh that is no sketch.
        """
        super().__init__(config, prompt, seed, total_steps)
        if not isinstance(self.geometry, DensityField):
            raise UserError(
                f"system.geometry: '{self.geometry.part_name}' has no density that could follow a sketch; "
                f"use {' or '.join(names('geometry', DensityField))}"
            )
        settings: SketchSettings = config.sketch
        self.further_weights = {"shape": settings.weight, "normal": settings.normal_weight}
        self.sketch = read_sketch(settings.path, settings, self.geometry.bound, settings.wants_normals)
        if isinstance(self.renderer, VolumeRenderer):
            # Limbs far from the middle, where the field starts empty, are to be seen at every step.
            grid = self.renderer.occupancy
            grid.force(self.sketch.touched_cells(grid.bound, grid.resolution))

    def losses(self, cameras: Cameras, step: int, rng: Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The terms of Latent-NeRF, and the sketch's."""
        render = self.renderer(self.geometry, self.background, cameras, rng)
        terms, metrics = self.picture_losses(render, cameras, step, rng)
        return terms | self.sketch_losses(render, step), metrics

    def sketch_losses(self, render: RenderOutput, step: int) -> dict[str, Tensor]:
        """What the samples of a rendering are worth against the sketch.

        Raises:
            UserError: the renderer gives no samples.
        """
        settings: SketchSettings = self.config.sketch
        samples = self.samples_looked_at(render, step)
        reading = self.sketch(samples.positions)
        strictness = self.strictness(samples.positions, reading)
        terms = {"shape": shape_loss(samples.density, reading.occupied, strictness, settings.delta)}
        if settings.wants_normals and settings.normal_weight.at(step, self.total_steps) > 0:
            terms["normal"] = self._normal_loss(samples, reading)
        return terms

    def samples_looked_at(self, render: RenderOutput, step: int) -> RaySamples:
        """Those that the losses of a step are about: every `sample_stride`-th.

        Raises:
            UserError: the renderer gives no samples.
        """
        stride = self.config.sketch.sample_stride
        return seen_samples(render, self.renderer).every(stride, step % stride)

    def strictness(self, positions: Float[Tensor, "samples 3"], reading: SketchReading) -> Float[Tensor, "samples"]:
        """How strictly the sketch is followed at samples: by their distance, and not at all in `complete_box`."""
        settings: SketchSettings = self.config.sketch
        strictness = distance_weight(reading.distance, settings.lenience)
        if settings.complete_box is None:
            return strictness
        return strictness * ~self.sketch.within(positions, settings.complete_box)

    def _normal_loss(self, samples: RaySamples, reading: SketchReading) -> Float[Tensor, ""]:
        """Over visible samples nearer to the surface than `lenience`, and farther than half a cell: there, the signed
        distance has no direction."""
        settings: SketchSettings = self.config.sketch
        near = (reading.distance > 0.5 * self.sketch.cell) & (reading.distance < settings.lenience)
        if settings.complete_box is not None:
            near &= ~self.sketch.within(samples.positions, settings.complete_box)
        chosen = (near & (samples.weights > FAINT_WEIGHT)).nonzero()[:, 0]
        positions = samples.positions[chosen]
        field = self.geometry
        assert isinstance(field, DensityField)
        ours = outward_normals(field, positions, 2 * self.sketch.cell)
        return normal_loss(ours, self.sketch.normals(positions), samples.weights[chosen].detach())


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


def distance_weight(distance: Float[Tensor, "samples"], lenience: float) -> Float[Tensor, "samples"]:
    """How strictly a sketch is followed at a distance from its surface: 1 - exp(-d^2 / (2 lenience^2)).

    Source: Latent-NeRF (arXiv:2211.07600), section 3.3, with lenience for its sigma.
    """
    return -torch.expm1(-(distance / lenience).square() / 2)


def normal_loss(
    ours: Float[Tensor, "points 3"], sketch: Float[Tensor, "points 3"], weights: Float[Tensor, "points"]
) -> Float[Tensor, ""]:
    """1 - cosine between the field's and the sketch's normals, weighted mean; 0 without points."""
    return (weights * (1 - (ours * sketch).sum(dim=-1))).sum() / weights.sum().clamp_min(FAINT_WEIGHT)

"""`sketch-normals`: the visible surface is turned as a sketch's is."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from core.kinds import DensityField, TrainingStep
from renderers.normals import outward_normals
from systems.losses.sketch import SketchLoss

# A sample that gives less than this to its ray shows no surface worth a normal.
FAINT_WEIGHT = 1e-3


class SketchNormalsLoss(SketchLoss, name="sketch-normals"):
    """1 - cosine between the field's normals and the sketch's, near its surface."""

    with_normals: ClassVar[bool] = True

    def forward(self, now: TrainingStep) -> Float[Tensor, ""]:
        """Over visible samples nearer to the surface than `lenience`, and farther than half a cell of the tables:
        nearer than that, the signed distance has no direction."""
        config, samples = self.config, self.samples(now)
        reading = self.sketch(samples.positions)
        near = (reading.distance > 0.5 * self.sketch.cell) & (reading.distance < config.lenience)
        if config.complete_box is not None:
            near &= ~self.sketch.within(samples.positions, config.complete_box)
        chosen = (near & (samples.weights > FAINT_WEIGHT)).nonzero()[:, 0]
        positions = samples.positions[chosen]
        assert isinstance(now.geometry, DensityField), "checked when the sketch was read"
        ours = outward_normals(now.geometry, positions, 2 * self.sketch.cell)
        weights = samples.weights[chosen].detach()
        return now.rank.share_factor(weights.sum()) * normal_loss(ours, self.sketch.normals(positions), weights)


def normal_loss(
    ours: Float[Tensor, "points 3"], sketch: Float[Tensor, "points 3"], weights: Float[Tensor, "points"]
) -> Float[Tensor, ""]:
    """1 - cosine between the field's and the sketch's normals, weighted mean; 0 without points."""
    return (weights * (1 - (ours * sketch).sum(dim=-1))).sum() / weights.sum().clamp_min(FAINT_WEIGHT)

"""`kept-colours`: squares of the picture keep the mean colours that a refining stage began with: edges sharpen."""

import copy
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from core.errors import require
from core.kinds import Geometry, Loss, Renderer, TrainingStep
from core.schedule import Schedule
from renderers.backgrounds import NoBackground


class KeptColours(Loss, name="kept-colours"):
    """Squared difference between the mean colours of squares now and at the stage's beginning."""

    @dataclass(frozen=True)
    class Config(Loss.Config):
        """Settings of kept colours."""

        weight: Schedule = field(default_factory=lambda: Schedule.constant(30.0), kw_only=True)
        """Of the term."""
        square: int = 16
        """Pixels along each side of a square; half a picture's side at most."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.square >= 1, f"square: at least 1, got {self.square}")

    def __init__(self, config: Config, geometry: Geometry, renderer: Renderer) -> None:
        super().__init__(config, geometry, renderer)
        #: What the stage began with; a part of its checkpoints, since a resumed stage needs it too.
        self.beginning = copy.deepcopy(geometry).requires_grad_(False)
        self.behind = NoBackground(geometry.n_channels)

    def begin(self, geometry: Geometry) -> None:
        """Remember what the stage begins with."""
        self.beginning.load_state_dict(geometry.state_dict())

    def forward(self, now: TrainingStep) -> Float[Tensor, ""]:
        """Of the object alone, whatever is behind it."""
        with torch.no_grad():
            before = now.renderer(self.beginning, self.behind, now.cameras, now.rng)
        return square_means_error(now.render.foreground, before.foreground, self.config.square)


def square_means_error(
    ours: Float[Tensor, "views height width channels"], theirs: Float[Tensor, "views height width channels"], side: int
) -> Float[Tensor, ""]:
    """Mean squared difference between the means of squares of `side` pixels, of the whole where that is smaller.

    What is left over at the right and lower edge counts in no square.
    """
    size = [min(side, length) for length in ours.shape[1:3]]
    return F.avg_pool2d((ours - theirs).movedim(-1, 1), size).square().mean()

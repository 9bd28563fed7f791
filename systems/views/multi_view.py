"""`multi-view`: views that belong together, for guidance that is told cameras and looks at several views of an object.

Source: MVDream (arXiv:2308.16512), sections 3.1 and 4: azimuths evenly apart, all else in common.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from core.errors import require
from core.kinds import Guidance
from core.memory import VIEW, require_size
from core.types import Cameras
from systems.views.orbit import RandomViews


class MultiView(RandomViews, name="multi-view", replaces=["narrowed-orbit"]):
    """As many views as the guidance looks at together, evenly around the object from a random azimuth on."""

    @dataclass(frozen=True)
    class Config(RandomViews.Config):
        """Ranges of the training cameras, and what views of an object have in common."""

        n_objects: int = 1
        """Sets of views in one training step. Their first azimuths are stratified: one in each of as many equal parts
        of the angle between two views."""
        independent: bool = False
        """Whether each view has an elevation, distance and field of view of its own, and an azimuth anywhere in its
        sector: for models that were trained so."""
        framed: bool = False
        """Whether `radius` is in multiples of 1 / tan(fovy / 2), as MVDream's published settings are."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require_size("n_objects", self.n_objects, self.n_objects * VIEW)
            require(not (self.framed and self.from_model), "framed: a model's own distances (from_model) are absolute")

    def __init__(self, config: Config, guidance: Guidance, seed: int) -> None:
        """Find the cameras' ranges, and how many belong together.

        Raises:
            UserError: `from_model` is asked of a model that says nothing of its cameras.
        """
        super().__init__(config, guidance, seed)
        self.config: MultiView.Config = config
        self.n_together = guidance.view_needs.n_together
        self.n_views = config.n_objects * self.n_together
        self.ranges = replace(self.ranges, framed=config.framed)

    def draw(self, size: int, step: int, total_steps: int, rng: Generator) -> Cameras:
        """The views of each object, one after the other."""
        n_objects, n_together, device = self.config.n_objects, self.n_together, rng.device
        share = torch.rand(4, n_objects, n_together, generator=rng, device=device)
        start = torch.rand(n_objects, 1, generator=rng, device=device)
        if not self.config.independent:
            share = share[:, :, :1].repeat(1, 1, n_together)
            share[3] = 0
        first = (torch.arange(n_objects, device=device)[:, None] + start) / n_objects
        sector = first + torch.arange(n_together, device=device) + share[3]
        elevation, radius, fovy, _ = share.flatten(1)
        azimuth_deg = _half_circle(360 / n_together * sector.flatten())
        elevation_deg = self.ranges.elevations(elevation, self.config.uniform_in)
        return self.ranges.cameras(elevation_deg, azimuth_deg, size, radius, fovy)


def _half_circle(azimuth_deg: Float[Tensor, "views"]) -> Float[Tensor, "views"]:
    """The same directions from -180 to 180 degrees."""
    return (azimuth_deg + 180) % 360 - 180

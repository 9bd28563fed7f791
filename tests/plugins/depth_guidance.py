"""Guidance that uses the depth: beside known pictures, it asks the object to stay at a distance from the camera."""

from dataclasses import dataclass, replace

from torch import Generator

from core.types import Cameras, GuidanceOutput, RenderOutput
from guidance.target_image import TargetImage


class AtADistance(TargetImage, name="at-a-distance"):
    """Known pictures, and a distance that the visible object should have."""

    term_names = ("distance",)

    @dataclass(frozen=True)
    class Config(TargetImage.Config):
        """Settings of the distance."""

        distance: float = 1.0
        """In world units."""

    config: Config

    def forward(
        self, render: RenderOutput, cameras: Cameras, step: int, total_steps: int, rng: Generator
    ) -> GuidanceOutput:
        """The pictures' loss, and the mean squared difference in distance where the object is."""
        output = super().forward(render, cameras, step, total_steps, rng)
        error = (render.depth - self.config.distance).square() * render.opacity.detach()
        return replace(output, terms={"distance": error.mean()})

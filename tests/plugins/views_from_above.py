"""Training views from one elevation, one after the other around the object."""

from dataclasses import dataclass

import torch
from torch import Generator

from core.types import Cameras
from systems.views.orbit import Orbit


class FromAbove(Orbit, name="from-above"):
    """A slow walk around the object at one elevation."""

    @dataclass(frozen=True)
    class Config(Orbit.Config):
        """Settings of the walk."""

        walk_elevation_deg: float = 50.0
        """Of every training view."""
        turn_deg: float = 20.0
        """From one step to the next."""

    config: Config

    def draw(self, size: int, step: int, total_steps: int, rng: Generator) -> Cameras:
        """Evenly around, a little further at each step; nothing is random."""
        azimuth = torch.arange(self.n_views) * (360 / self.n_views) + step * self.config.turn_deg
        return self.ranges.cameras(torch.full_like(azimuth, self.config.walk_elevation_deg), azimuth, size)

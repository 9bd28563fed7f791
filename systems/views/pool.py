"""`pool`: training views from a fixed set of cameras, so that what they see of a mesh is found once, ahead of time."""

from dataclasses import dataclass

import torch
from torch import Generator

from core.chance import stream
from core.kinds import Guidance
from core.memory import PICTURE, require_size
from core.types import Cameras
from systems.views.orbit import Orbit


class CameraPool(Orbit, name="pool"):
    """Random cameras around the object, drawn once; each step takes one from each of its sectors."""

    @dataclass(frozen=True)
    class Config(Orbit.Config):
        """Ranges of the cameras, and how many there are."""

        size: int = 256
        """Cameras in the pool, about: a multiple of n_views."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require_size("size", self.size, self.size * PICTURE)

    def __init__(self, config: Config, guidance: Guidance, seed: int) -> None:
        super().__init__(config, guidance, seed)
        self.n_each = max(1, config.size // self.n_views)
        self._cameras: Cameras | None = None

    def draw(self, size: int, step: int, total_steps: int, rng: Generator) -> Cameras:
        """Cameras of the pool, each from a sector of its own, so that every step sees all sides."""
        pool = self.all_cameras(size, rng.device)
        within = torch.randint(self.n_each, (self.n_views,), generator=rng, device=rng.device)
        return pool.chosen(torch.arange(self.n_views, device=rng.device) * self.n_each + within)

    def all_cameras(self, size: int, device: torch.device) -> Cameras:
        """The pool, sorted by azimuth."""
        if self._cameras is None or self._cameras.c2w.device != device:
            rng = stream(self.seed, "pool", 0, device)
            self._cameras = self.stratified(self.n_each * self.n_views, size, rng)
        return self._cameras.resized(size, size)

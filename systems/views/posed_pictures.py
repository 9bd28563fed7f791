"""`posed-pictures`: training views from the cameras of known pictures, for guidance that knows no others."""

from dataclasses import dataclass

import torch
from torch import Generator

from core.errors import UserError
from core.kinds import Guidance
from core.memory import VIEW, require_size
from core.types import Cameras
from systems.views.orbit import CameraRanges, OrbitingViews


class PosedPictures(OrbitingViews, name="posed-pictures"):
    """The cameras of the pictures that guidance knows (target-image), in random order."""

    of_known_pictures = True

    @dataclass(frozen=True)
    class Config(OrbitingViews.Config):
        """Settings of views from known pictures."""

        n_views: int = 4
        """Views of one training step."""

        def __post_init__(self) -> None:
            require_size("n_views", self.n_views, self.n_views * VIEW)

    def __init__(self, config: Config, guidance: Guidance, seed: int) -> None:
        """Take the cameras from the guidance.

        Raises:
            UserError: it knows no pictures.
        """
        super().__init__(config, guidance, seed)
        self.n_views = config.n_views
        known = guidance.view_needs.cameras
        if known is None:
            raise UserError(
                f"{self.setting('type')}: '{guidance.part_name}' knows no pictures of its own; "
                "use {type: orbit}, or {type: target-image, folder: FOLDER} as guidance"
            )
        self.known = known
        distance = known.c2w[:, :3, 3].norm(dim=-1)
        elevation_deg, radius, fovy_deg = (
            (float(v.min()), float(v.max())) for v in (known.elevation_deg, distance, known.fovy_deg)
        )
        self.ranges = CameraRanges(elevation_deg, radius, fovy_deg)

    def draw(self, size: int, step: int, total_steps: int, rng: Generator) -> Cameras:
        """`n_views` of the known cameras; one may come twice."""
        chosen = torch.randint(len(self.known), (self.n_views,), generator=rng, device=rng.device)
        return self.all_cameras(size, rng.device).chosen(chosen)

    def all_cameras(self, size: int, device: torch.device) -> Cameras:
        """The cameras of all known pictures."""
        return self.known.to(device).resized(size, size)

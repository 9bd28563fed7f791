"""What guidance is given: rendered latents in a record, and the cameras that they were seen from."""

import torch

from core.cameras import orbit_cameras
from core.types import Cameras, RenderOutput


def seen_as(latents: torch.Tensor) -> RenderOutput:
    """A rendering of these latents by an object that fills every view, at a distance of 1."""
    ones = torch.ones(latents.shape[:3])
    return RenderOutput(latents, ones, ones, None, latents, None)


def cameras_at(elevation_deg: list[float], azimuth_deg: list[float]) -> Cameras:
    """Cameras in these directions, for pictures of 8 x 8 latents."""
    n_views = len(elevation_deg)
    distance, fovy = torch.full((n_views,), 1.5), torch.full((n_views,), 50.0)
    elevation, azimuth = (torch.tensor(angles, dtype=torch.float32) for angles in (elevation_deg, azimuth_deg))
    return orbit_cameras(elevation, azimuth, distance, fovy, 8, 8)


def noisy_latents(n_views: int) -> torch.Tensor:
    """Random latents of 8 x 8, four channels each, that want a gradient."""
    return torch.randn(n_views, 8, 8, 4, generator=torch.Generator().manual_seed(3)).requires_grad_()

"""A Latent-Paint small enough to be trained in a test: a ball, its texture, exact pictures of what it should be."""

from pathlib import Path
from typing import Any

import torch
import trimesh
from torch import Tensor

from core.part import Choice
from core.types import Cameras
from exporters.painted_surface import written_mesh
from geometry.mesh import Mesh
from geometry.placement import Placement
from geometry.textured_mesh import TexturedMesh
from guidance.target_image import TargetImage
from renderers.backgrounds import SolidColor
from renderers.mesh import MeshRenderer
from systems.latent_paint import LatentPaint
from systems.views.orbit import Orbit
from systems.views.pool import CameraPool
from tests.systems.small_systems import BALL_RADIUS, ball_pictures

#: Where training cameras stand.
RANGES: dict[str, Any] = {"elevation_deg": (-60.0, 60.0), "radius": (1.5, 1.5), "fovy_deg": (45.0, 45.0)}
#: Views that are new at every step, in place of the pool.
ORBIT = Choice.of(Orbit, **RANGES, n_views=2)


def write_ball(path: Path) -> Path:
    """A ball of many faces, far from the origin and of another size than the scene's."""
    ball = trimesh.creation.icosphere(subdivisions=3, radius=7.0)
    ball.apply_translation([30.0, -4.0, 5.0])
    ball.export(path)
    return path


def paint_config(path: Path, guidance: Choice, **changes: Any) -> LatentPaint.Config:
    """Settings of a small painting."""
    geometry = {"placement": Placement(scale=BALL_RADIUS), "texture_size": 32, "learning_rate": 0.05}
    settings: dict[str, Any] = {
        "geometry": Choice.of(TexturedMesh, path=path, **{**geometry, **changes.pop("geometry", {})}),
        "background": Choice.of(SolidColor, color=(1.0, 1.0, 1.0)),
        "renderer": Choice.of(MeshRenderer),
        "guidance": guidance,
        "views": Choice.of(CameraPool, **RANGES, n_views=2, size=16),
    }
    return LatentPaint.Config(**{**settings, **changes})


def fitting_paint(path: Path, total_steps: int, size: int = 16, **changes: Any) -> LatentPaint:
    """Guided by exact pictures of a ball, red above and green below, before white."""
    system = LatentPaint(paint_config(path, Choice.of(TargetImage, size=size), **changes), "a ball", 0, total_steps)
    assert isinstance(system.guidance, TargetImage)
    system.guidance.set_target(ball_pictures)
    return system


def texture_at(system: LatentPaint, points: Tensor) -> Tensor:
    """What the texture shows at the centres of the faces nearest to points of the scene."""
    surface = system.geometry
    assert isinstance(surface, TexturedMesh)
    centres = surface.vertices[surface.faces].mean(dim=1)
    nearest = torch.cdist(points, centres).argmin(dim=1)
    with torch.no_grad():
        return surface(surface.corner_uv[nearest].mean(dim=1), torch.full((len(points),), 1e-3))


def views_of(system: LatentPaint, n: int = 6) -> Cameras:
    """Views from all sides that training has not seen."""
    return system.surrounding_cameras(n, 16)


def as_written(surface: TexturedMesh) -> Mesh:
    """A painted mesh in its file's own coordinates, as its one texture lies on it."""
    return written_mesh(surface.mesh, None if surface.uses_own_uv else surface.corner_uv.double().numpy())

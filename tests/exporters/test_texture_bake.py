"""From pictures of known colours to a texture, and back to the colours of points."""

from dataclasses import replace

import numpy as np
import torch
import trimesh

from core.cameras import camera_rays, orbit_cameras
from core.types import Cameras
from exporters.projection import Photographs
from exporters.texture_bake import bake_photographs, bake_points
from geometry.mesh import Mesh
from geometry.texels import covered_texels
from geometry.unwrap import unwrap

RADIUS = 0.4


def _ball() -> Mesh:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=RADIUS)
    vertices = np.asarray(ball.vertices, np.float32)
    mesh, _ = unwrap(Mesh(vertices, np.asarray(ball.faces)), 128)
    return replace(mesh, normals=(mesh.vertices / RADIUS).astype(np.float32))


def colours_at(points: np.ndarray) -> np.ndarray:
    """Smooth, and another one everywhere."""
    return 0.5 + 0.45 * np.sin(3 * points / RADIUS + [0, 1, 2])


def _photographs(cameras: Cameras) -> Photographs:
    """The ball by the quadratic equation of its rays, before white."""
    rays = camera_rays(cameras)
    along = -(rays.origins * rays.directions).sum(dim=-1)
    half = (RADIUS**2 - rays.origins.square().sum(dim=-1) + along.square()).clamp_min(0).sqrt()
    hits = rays.origins + (along - half)[..., None] * rays.directions
    colours = torch.from_numpy(colours_at(hits.double().numpy())).float()
    opacity = (half > 0).float()
    return Photographs(cameras, torch.where(opacity[..., None] > 0, colours, torch.ones(3)), opacity)


def _around(n_views: int, lowest_deg: float) -> Cameras:
    order = torch.arange(n_views)
    elevation = lowest_deg + (80 - lowest_deg) * (order + 0.5) / n_views
    ones = torch.ones(n_views)
    return orbit_cameras(elevation, order * 137.5, 1.6 * ones, 40 * ones, 96, 96)


def _errors(mesh: Mesh, texture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The covered texels' places, and how far their colours are from the truth."""
    texels = covered_texels(mesh.uv_with(v_down=False), mesh.faces, *texture.shape[:2])
    points = texels.of_corners(mesh.vertices.astype(np.float64), mesh.faces)
    baked = texture.reshape(-1, 3)[texels.index] / 255
    return points, np.abs(baked - colours_at(points)).max(axis=1)


def test_a_ball_gets_back_the_colours_of_its_pictures() -> None:
    mesh = _ball()
    texture = bake_photographs(mesh, _photographs(_around(16, -80)), 128, 128)
    _, error = _errors(mesh, texture)
    assert error.mean() < 0.015
    assert error.max() < 0.1


def test_what_no_picture_shows_continues_its_neighbours() -> None:
    mesh = _ball()
    texture = bake_photographs(mesh, _photographs(_around(16, 10)), 128, 128)  # nobody looks from below
    points, error = _errors(mesh, texture)
    below = points[:, 1] < -0.97 * RADIUS
    assert error[points[:, 1] > 0].mean() < 0.02
    rim = colours_at(points[np.abs(points[:, 1] + 0.6 * RADIUS) < 0.05])
    baked = texture.reshape(-1, 3)[covered_texels(mesh.uv_with(v_down=False), mesh.faces, 128, 128).index][below] / 255
    assert (baked > rim.min(axis=0) - 0.1).all()
    assert (baked < rim.max(axis=0) + 0.1).all()
    assert baked.std(axis=0).max() < 0.1  # smooth: the middle of what is around


def test_a_field_of_colours_is_asked_at_the_texels() -> None:
    mesh = _ball()
    _, error = _errors(mesh, bake_points(mesh, colours_at, 64, 96))
    assert error.max() <= 0.5 / 255 + 1e-9


def test_it_tells_after_each_picture() -> None:
    told: list[int] = []
    bake_photographs(_ball(), _photographs(_around(3, 0)), 32, 32, lambda: told.append(1))
    assert len(told) == 3

"""Meshes of densities whose volume and silhouettes are known in closed form."""

import math

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from core.cameras import camera_rays, orbit_cameras
from core.errors import UserError
from core.types import Cameras
from geometry.isosurface import (
    density_volume,
    find_threshold,
    marching_cubes,
    solid_occupancy,
)
from geometry.mesh import Mesh
from tests.fields import Balls

BOUND = 0.7


def distances_to(*centre: float, resolution: int = 48) -> Tensor:
    axis = torch.linspace(-BOUND, BOUND, resolution)
    grid = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    return (grid - torch.tensor(centre)).norm(dim=-1)


def ball(radius: float, *centre: float, sharpness: float = 40.0) -> Tensor:
    """Density that falls through 5 at the ball's surface."""
    return 5 * torch.exp(sharpness * (radius - distances_to(*centre)))


def as_trimesh(surface: Mesh) -> trimesh.Trimesh:
    return trimesh.Trimesh(surface.vertices, surface.faces, process=False)


def views(size: int = 48) -> Cameras:
    azimuth = torch.arange(4) * 90.0
    return orbit_cameras(
        torch.tensor([20.0, -30.0, 60.0, 0.0]), azimuth, torch.full((4,), 2.0), torch.full((4,), 45.0), size, size
    )


def ball_silhouette(cameras: Cameras, radius: float) -> Tensor:
    """Rays whose distance from the origin is below the radius, as an opacity of 0 or 1."""
    rays = camera_rays(cameras)
    closest = torch.linalg.cross(rays.origins, rays.directions).norm(dim=-1)
    return (closest < radius).float()


def test_a_balls_mesh_has_its_volume_is_closed_and_looks_outward() -> None:
    mesh = as_trimesh(marching_cubes(ball(0.4, 0.1, -0.05, 0.0), BOUND, 5.0)[0])
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(4 / 3 * math.pi * 0.4**3, rel=0.01)
    assert mesh.center_mass == pytest.approx([0.1, -0.05, 0.0], abs=2e-3)
    assert np.linalg.norm(mesh.vertices - [0.1, -0.05, 0.0], axis=1) == pytest.approx(0.4, abs=2e-3)


def test_noise_gives_a_closed_mesh_too() -> None:
    noise = torch.randn(20, 20, 20, generator=torch.Generator().manual_seed(0)).exp()
    mesh = as_trimesh(marching_cubes(noise, BOUND, 1.0)[0])
    assert mesh.is_watertight
    assert mesh.volume > 0


def test_a_body_that_fills_the_cube_is_closed_at_its_border() -> None:
    mesh = as_trimesh(marching_cubes(torch.full((12, 12, 12), 100.0), BOUND, 1.0)[0])
    assert mesh.is_watertight
    cell = 2 * BOUND / 11
    assert np.allclose(mesh.bounds, [[-BOUND - cell / 2] * 3, [BOUND + cell / 2] * 3], atol=cell / 2)


def test_floaters_are_left_out_and_counted_and_large_pieces_stay() -> None:
    volume = torch.maximum(ball(0.3, -0.2, 0.0, 0.0), ball(0.15, 0.4, 0.0, 0.0))
    for corner in (0.55, -0.55):
        volume = torch.maximum(volume, ball(0.05, corner, 0.55, 0.55))
    surface, n_floaters = marching_cubes(volume, BOUND, 5.0)
    assert n_floaters == 2
    assert as_trimesh(surface).body_count == 2
    assert as_trimesh(surface).volume == pytest.approx(4 / 3 * math.pi * (0.3**3 + 0.15**3), rel=0.03)


def test_a_hollow_ball_becomes_solid() -> None:
    hollow = torch.where(distances_to(0, 0, 0) < 0.25, torch.tensor(0.0), ball(0.45, 0, 0, 0))
    mesh = as_trimesh(marching_cubes(hollow, BOUND, 5.0)[0])
    assert mesh.body_count == 1
    assert mesh.volume == pytest.approx(4 / 3 * math.pi * 0.45**3, rel=0.01)


def test_solid_occupancy_fills_rooms_but_not_bowls() -> None:
    shell = np.zeros((7, 7, 7), dtype=bool)
    shell[1:6, 1:6, 1:6] = True
    shell[2:5, 2:5, 2:5] = False
    assert solid_occupancy(shell).sum() == 5**3
    shell[3, 3, 5] = False  # a door
    assert np.array_equal(solid_occupancy(shell), shell)


def test_the_threshold_is_found_from_silhouettes_alone() -> None:
    volume = ball(0.4, 0, 0, 0, sharpness=20.0)  # the surface of density d is a ball of radius 0.4 - log(d / 5) / 20
    cameras = views()
    for radius in (0.3, 0.4, 0.5):
        threshold = find_threshold(volume, BOUND, cameras, ball_silhouette(cameras, radius))
        assert 0.4 - math.log(threshold / 5) / 20 == pytest.approx(radius, abs=0.01)


def test_a_mesh_from_rendered_opacity_has_the_silhouettes_of_that_opacity() -> None:
    cameras = views()
    volume = density_volume(Balls(0.35, 30.0, softness=0.02), 48)
    threshold = find_threshold(volume, Balls.bound, cameras, ball_silhouette(cameras, 0.37))
    surface, _ = marching_cubes(volume, Balls.bound, threshold)
    radii = np.linalg.norm(surface.vertices, axis=1)
    assert radii == pytest.approx(0.37, abs=0.012)


def test_volume_is_the_field_at_the_grids_vertices() -> None:
    volume = density_volume(Balls(0.4, 7.0), 15, chunk=100)
    axis = np.linspace(-Balls.bound, Balls.bound, 15)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    assert np.array_equal(volume.numpy() > 0, x**2 + y**2 + z**2 < 0.4**2)


def test_an_empty_field_says_so_with_its_range() -> None:
    cameras = views(8)
    with pytest.raises(
        UserError, match=r"the field is empty: no ray's opacity reaches 0.5 \(highest 0.12\).*between 0 and 0.3"
    ):
        find_threshold(torch.linspace(0, 0.3, 27).view(3, 3, 3), BOUND, cameras, torch.full((4, 8, 8), 0.12))
    with pytest.raises(UserError, match=r"between 0 and 0\.3, nowhere above the threshold 2"):
        marching_cubes(torch.linspace(0, 0.3, 27).view(3, 3, 3), BOUND, 2.0)


def test_a_diverged_field_says_so() -> None:
    with pytest.raises(UserError, match="not finite everywhere: training has diverged"):
        density_volume(Balls(0.4, math.nan), 8)

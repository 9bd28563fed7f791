"""Cameras against hand-worked poses and rays, and a projection written the other way round."""

import math

import pytest
import torch

from core.cameras import ViewBins, camera_rays, orbit_cameras, view_name
from core.errors import UserError
from core.types import Cameras


def one_camera(elevation: float, azimuth: float, radius: float = 2.0, height: int = 8, width: int = 8) -> Cameras:
    as_view = [torch.tensor([float(value)]) for value in (elevation, azimuth, radius, 45.0)]
    return orbit_cameras(as_view[0], as_view[1], as_view[2], as_view[3], height, width)


@pytest.mark.parametrize(
    ("elevation", "azimuth", "position"),
    [(0, 0, (0, 0, 2)), (0, 90, (2, 0, 0)), (0, 180, (0, 0, -2)), (0, -90, (-2, 0, 0)), (30, 0, (0, 1, math.sqrt(3)))],
)
def test_positions_by_hand(elevation: float, azimuth: float, position: tuple[float, ...]) -> None:
    camera = one_camera(elevation, azimuth)
    assert camera.c2w[0, :3, 3].tolist() == pytest.approx(position, abs=1e-6)


@pytest.mark.parametrize("elevation", [-88.0, -30.0, 0.0, 45.0, 88.0])
@pytest.mark.parametrize("azimuth", [0.0, 37.0, 200.0, -100.0])
def test_poses_are_rotations_that_look_at_the_origin_with_up_upward(elevation: float, azimuth: float) -> None:
    pose = one_camera(elevation, azimuth).c2w[0]
    right, up, backward, position = (pose[:3, i] for i in range(4))
    torch.testing.assert_close(pose[:3, :3].T @ pose[:3, :3], torch.eye(3), atol=1e-6, rtol=0)
    assert torch.linalg.det(pose[:3, :3]).item() == pytest.approx(1.0, abs=1e-5)
    torch.testing.assert_close(position, 2.0 * backward)
    assert up[1] > 0
    assert right[1].item() == 0.0


def test_poles_are_kept_two_degrees_away() -> None:
    camera = one_camera(90, 0)
    assert camera.elevation_deg.item() == 88.0
    assert camera.c2w.isfinite().all()
    torch.testing.assert_close(camera.c2w, one_camera(88, 0).c2w)


def test_front_camera_sees_plus_x_on_its_right_and_plus_y_at_its_top() -> None:
    directions = camera_rays(one_camera(0, 0)).directions[0]
    assert directions[0, 0, 1] > 0 > directions[-1, 0, 1]
    assert directions[0, -1, 0] > 0 > directions[0, 0, 0]
    assert (directions[..., 2] < 0).all()


def test_rays_through_known_pixels() -> None:
    """2 x 2 pixels at 90 degrees: pixel centres at +-0.5 on the plane at distance 1."""
    angles = [torch.tensor([value]) for value in (0.0, 0.0, 3.0, 90.0)]
    rays = camera_rays(orbit_cameras(angles[0], angles[1], angles[2], angles[3], 2, 2))
    expected = torch.tensor([-0.5, 0.5, -1.0]) / math.sqrt(1.5)
    torch.testing.assert_close(rays.directions[0, 0, 0], expected)
    assert rays.origins[0, 1, 1].tolist() == pytest.approx([0, 0, 3])


def test_points_on_rays_project_back_to_their_pixels() -> None:
    """The usual way round: world to camera, divide by depth, focal length, principal point."""
    camera = one_camera(25, 130, radius=1.7, height=6, width=10)
    rays = camera_rays(camera)
    world = rays.origins + 1.3 * rays.directions
    ones = torch.ones_like(world[..., :1])
    local = torch.cat([world, ones], dim=-1) @ torch.linalg.inv(camera.c2w[0]).T
    focal = 6 / 2 / math.tan(math.radians(45.0) / 2)
    column = 5 + focal * local[..., 0] / -local[..., 2]
    row = 3 - focal * local[..., 1] / -local[..., 2]
    torch.testing.assert_close(column[0], (torch.arange(10) + 0.5).expand(6, 10), atol=1e-4, rtol=0)
    torch.testing.assert_close(row[0], (torch.arange(6) + 0.5)[:, None].expand(6, 10), atol=1e-4, rtol=0)


def test_directions_have_unit_length() -> None:
    lengths = camera_rays(one_camera(-20, 77)).directions.norm(dim=-1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))


@pytest.mark.parametrize(
    ("elevation", "azimuth", "word"),
    [
        (60, 0, "overhead"),
        (59.9, 0, "front"),
        (-45, 180, "bottom"),
        (-44.9, 180, "back"),
        (0, 35, "front"),
        (0, -35, "front"),
        (0, 325, "front"),
        (0, 36, "side"),
        (0, 145, "back"),
        (0, -145, "back"),
        (0, 144, "side"),
        (0, 270, "side"),
        (0, 720, "front"),
    ],
)
def test_view_names_by_hand(elevation: float, azimuth: float, word: str) -> None:
    assert view_name(float(elevation), float(azimuth), ViewBins()) == word


def test_view_bins_refuse_nonsense() -> None:
    with pytest.raises(UserError, match=r"bottom_deg: below overhead_deg \(-50\), got -45"):
        ViewBins(overhead_deg=-50.0)
    with pytest.raises(UserError, match="front_half_width_deg: above 0 and at most 90, got 0"):
        ViewBins(front_half_width_deg=0.0)


def test_a_cut_of_a_view_has_the_rays_of_the_view():
    one = torch.ones(2)
    cameras = orbit_cameras(20 * one, torch.tensor([10.0, 80.0]), 1.5 * one, 50 * one, 12, 20)
    whole, part = camera_rays(cameras), camera_rays(cameras.cut(3, 5, 6, 7))
    torch.testing.assert_close(part.directions, whole.directions[:, 3:9, 5:12])
    torch.testing.assert_close(part.origins, whole.origins[:, 3:9, 5:12])
    again = camera_rays(cameras.cut(3, 5, 6, 7).cut(1, 2, 4, 3))
    torch.testing.assert_close(again.directions, whole.directions[:, 4:8, 7:10])
    finer = camera_rays(cameras.cut(3, 5, 6, 7).resized(12, 14))
    expected = camera_rays(cameras.resized(24, 40)).directions[:, 6:18, 10:24]
    torch.testing.assert_close(finer.directions, expected)

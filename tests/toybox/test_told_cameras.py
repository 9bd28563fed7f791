"""What the denoiser is told of a camera, against the rays that made the pictures."""

import numpy as np
import torch

from toybox.buffers import random_view, view_rays
from toybox.told_cameras import camera_to_world, tell

VIEWS = [random_view(np.random.default_rng(seed)) for seed in range(6)]


def test_ray_maps_are_the_rays_that_pictures_are_cast_with():
    told = tell(VIEWS, size=8)
    for rays, view in zip(told.rays, VIEWS, strict=True):
        origin, directions = view_rays(view, 8)
        np.testing.assert_allclose(rays[:3].permute(1, 2, 0), directions, atol=1e-6)
        np.testing.assert_allclose(rays[3:].permute(1, 2, 0), np.cross(origin, directions), atol=1e-6)


def test_a_moment_is_that_of_every_point_of_its_ray():
    rays = tell(VIEWS, size=4).rays
    origins = camera_to_world(VIEWS)[:, :3, 3, None, None]
    farther = origins + 2.5 * rays[:, :3]
    torch.testing.assert_close(farther.cross(rays[:, :3], dim=1), rays[:, 3:], atol=1e-5, rtol=0)


def test_poses_are_rigid_and_look_at_the_origin_from_unit_distance():
    poses = tell(VIEWS, size=2).poses.view(-1, 4, 4)
    turns, places = poses[:, :3, :3], poses[:, :3, 3]
    torch.testing.assert_close(turns @ turns.mT, torch.eye(3).expand(6, 3, 3), atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.linalg.det(turns), torch.ones(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(places.norm(dim=1), torch.ones(6))
    torch.testing.assert_close(turns[:, :, 2], places, atol=1e-5, rtol=0)  # OpenGL: looks along -z
    assert (turns[:, 1, 1] > 0).all()  # upright
    assert torch.equal(poses[:, 3], torch.tensor([0.0, 0.0, 0.0, 1.0]).expand(6, 4))


def test_cameras_that_are_not_kept_are_zeros():
    told = tell(VIEWS[:2], size=4).kept(torch.tensor([True, False]))
    assert told.rays[0].any()
    assert told.poses[0].any()
    assert not told.rays[1].any()
    assert not told.poses[1].any()

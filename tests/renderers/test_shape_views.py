"""A mesh's depth and normals as cameras see them, against a ball's and a plane's own."""

import pytest
import torch
import trimesh
from torch import Tensor

from core.cameras import camera_rays, orbit_cameras
from core.types import Cameras
from renderers.shape_views import ShownMesh

RADIUS, DISTANCE = 0.4, 1.5


def ball(turned: bool = False) -> tuple[Tensor, Tensor]:
    """A fine ball; its faces look inward where it is `turned`."""
    mesh = trimesh.creation.icosphere(subdivisions=5, radius=RADIUS)
    faces = torch.from_numpy(mesh.faces.copy()).long()
    return torch.from_numpy(mesh.vertices.copy()).float(), faces.flip(1) if turned else faces


def views(*azimuth_deg: float) -> Cameras:
    n = len(azimuth_deg)
    level, distance, fovy = torch.linspace(-40, 70, n), torch.full((n,), DISTANCE), torch.full((n,), 45.0)
    return orbit_cameras(level, torch.tensor(azimuth_deg), distance, fovy, 40, 30)


@pytest.mark.parametrize("turned", [False, True])
def test_a_ball_is_as_far_and_as_round_as_it_is(turned: bool):
    cameras = views(0.0, 77.0, -160.0)
    seen = ShownMesh(*ball(turned))(cameras)
    rays = camera_rays(cameras)
    along = -(rays.origins * rays.directions).sum(dim=-1)
    inside = RADIUS**2 - (rays.origins.square().sum(dim=-1) - along**2)
    is_met = inside > 0.01  # away from the outline, where facets cut corners
    distance = along - inside.clamp_min(0).sqrt()
    points = rays.origins + distance[..., None] * rays.directions
    for i, camera in enumerate(cameras.c2w):
        expected = (torch.linalg.inv(camera) @ torch.cat([points[i], torch.ones(40, 30, 1)], dim=-1)[..., None])[..., 0]
        torch.testing.assert_close(seen.depth[i][is_met[i]], -expected[..., 2][is_met[i]], atol=2e-3, rtol=0)
        normals = points[i] / RADIUS @ camera[:3, :3]
        cosine = (normals * seen.normals[i]).sum(dim=-1)[is_met[i]]
        assert float(cosine.min()) > 0.995
    assert not seen.depth[inside < -0.01].any()
    assert not seen.normals[inside < -0.01].any()


def test_depth_is_along_the_axis_and_a_wall_is_flat():
    """A square wall at z = 0.25, seen by a camera on +z: one depth, and normals that look at it."""
    wall = torch.tensor([[-1.0, -1.0, 0.25], [1.0, -1.0, 0.25], [1.0, 1.0, 0.25], [-1.0, 1.0, 0.25]])
    front = orbit_cameras(torch.zeros(1), torch.zeros(1), torch.full((1,), 1.25), torch.full((1,), 60.0), 9, 9)
    seen = ShownMesh(wall, torch.tensor([[0, 1, 2], [0, 2, 3]]))(front)
    torch.testing.assert_close(seen.depth, torch.ones(1, 9, 9), atol=1e-5, rtol=0)
    torch.testing.assert_close(seen.normals, torch.tensor([0.0, 0.0, 1.0]).expand(1, 9, 9, 3), atol=1e-6, rtol=0)


def test_right_up_and_backward_are_the_camera_s_own():
    """A roof seen from the left of its front (azimuth 90 sees +x): its slope toward +z lies to the camera's left."""
    slope = torch.tensor([[-1.0, 0.0, 1.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [-1.0, 1.0, 0.0]]) - torch.tensor(
        [0, 0.5, 0]
    )
    side = orbit_cameras(
        torch.tensor([20.0]), torch.tensor([60.0]), torch.full((1,), 3.0), torch.full((1,), 20.0), 5, 5
    )
    normal = ShownMesh(slope, torch.tensor([[0, 1, 2], [0, 2, 3]]))(side).normals[0, 2, 2]
    assert normal[0] < -0.5  # to the left
    assert normal[1] > 0.4  # upward
    assert normal[2] > 0.3  # toward the camera

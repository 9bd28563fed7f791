"""How cameras are told to a denoiser, against geometry written out by hand."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from core.cameras import orbit_cameras
from core.errors import UserError
from core.types import Cameras
from guidance.camera_conditioning import CameraConditioning, read_camera_conditioning

SAID = {"n_together": 4, "ray_maps": True, "pose": True, "up_axis": "y"}


def _camera(azimuth_deg: float, elevation_deg: float = 0.0, radius: float = 2.0, fovy_deg: float = 90.0) -> Cameras:
    numbers = [torch.tensor([number]) for number in (elevation_deg, azimuth_deg, radius, fovy_deg)]
    return orbit_cameras(*numbers, height=8, width=8)


def _told(up_axis: Any = "y") -> CameraConditioning:
    return CameraConditioning(4, ray_maps=True, pose=True, up_axis=up_axis)


def test_a_pose_is_the_matrix_row_by_row_at_unit_distance():
    """From +x, two away: right is -z, up is y, backward is +x, all by hand."""
    poses = _told().tell(_camera(90.0), 4).poses
    assert poses is not None
    expected = [[0, 0, 1, 1], [0, 1, 0, 0], [-1, 0, 0, 0], [0, 0, 0, 1]]
    torch.testing.assert_close(poses.view(4, 4), torch.tensor(expected).float(), atol=1e-6, rtol=0)


def test_a_world_with_z_up_is_mvdreams():
    """Their camera at azimuth 0 stands on -y and looks along +y, with z up: their `get_camera`, elevation 0."""
    poses = _told("z").tell(_camera(0.0), 4).poses
    assert poses is not None
    expected = [[1, 0, 0, 0], [0, 0, -1, -1], [0, 1, 0, 0], [0, 0, 0, 1]]
    torch.testing.assert_close(poses.view(4, 4), torch.tensor(expected).float(), atol=1e-6, rtol=0)


def test_ray_maps_are_those_of_the_cells_middles():
    """Field of view 90 degrees, two cells a side: the upper left one is seen along (-1/2, 1/2, -1) of the camera."""
    rays = _told().tell(_camera(0.0), 2).rays
    assert rays is not None
    assert rays.shape == (1, 6, 2, 2)
    direction = torch.tensor([-0.5, 0.5, -1.0]) / math.sqrt(1.5)
    torch.testing.assert_close(rays[0, :3, 0, 0], direction)
    x, y, _ = direction.tolist()
    torch.testing.assert_close(rays[0, 3:, 0, 0], torch.tensor([-2 * y, 2 * x, 0.0]))  # (0, 0, 2) x d


def test_rays_meet_in_the_camera_whatever_axis_is_up():
    """Pluecker's law: d . (o x d) = 0, and o is the point that all rays of a view share."""
    for up_axis in ("y", "z"):
        camera = _camera(40.0, 25.0, 1.5, 50.0)
        told = _told(up_axis).tell(camera, 6)
        assert told.rays is not None
        assert told.poses is not None
        direction, moment = told.rays[0].flatten(1).T.split(3, dim=1)
        torch.testing.assert_close(direction.norm(dim=1), torch.ones(36))
        torch.testing.assert_close((direction * moment).sum(dim=1), torch.zeros(36), atol=1e-6, rtol=0)
        origin = 1.5 * told.poses.view(4, 4)[:3, 3]
        torch.testing.assert_close(moment, torch.linalg.cross(origin.expand(36, 3), direction), atol=1e-5, rtol=0)


def test_what_is_not_told_is_none_and_an_untold_camera_is_zeros():
    conditioning = CameraConditioning(1, ray_maps=False, pose=True, up_axis="y")
    assert conditioning.tell(_camera(0.0), 4).rays is None
    assert conditioning.n_channels == 0
    untold = _told().untold(3, 4, torch.device("cpu"))
    assert untold.rays is not None
    assert untold.poses is not None
    assert (untold.rays.shape, untold.poses.shape) == ((3, 6, 4, 4), (3, 16))
    assert not untold.rays.any()
    assert not untold.poses.any()


def test_repeated_cameras_come_set_after_set():
    numbers = [torch.tensor(both) for both in ([0.0, 0.0], [0.0, 90.0], [1.0, 1.0], [50.0, 50.0])]
    cameras = orbit_cameras(*numbers, height=8, width=8)
    told = _told().tell(cameras, 4)
    assert told.poses is not None
    twice = told.repeated(2).poses
    assert twice is not None
    torch.testing.assert_close(twice, torch.cat([told.poses, told.poses]))


def test_a_folder_says_it(tmp_path: Path):
    assert read_camera_conditioning(None) is None
    assert read_camera_conditioning(tmp_path) is None
    (tmp_path / "cameras.json").write_text(json.dumps(SAID))
    assert read_camera_conditioning(tmp_path) == CameraConditioning(4, True, True, "y")


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("{", "cannot be read as JSON"),
        ([], "a JSON object with n_together, ray_maps, pose, up_axis is wanted, got a list"),
        (SAID | {"ray_map": True}, "ray_map: no such entry. Did you mean 'ray_maps'?"),
        (
            {"n_together": 4, "ray_maps": True, "pose": True},
            "up_axis: missing; n_together, ray_maps",
        ),
        (SAID | {"n_together": True}, "n_together: a whole number is wanted, got True"),
        (SAID | {"n_together": 0}, "n_together: at least 1, got 0"),
        (SAID | {"pose": 1}, "pose: true or false is wanted, got 1"),
        (SAID | {"up_axis": "x"}, "up_axis: y or z is wanted, got 'x'"),
        (SAID | {"ray_maps": False, "pose": False}, "ray_maps, pose: both are false"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(said: Any, fault: str, tmp_path: Path):
    path = tmp_path / "cameras.json"
    path.write_text(said if isinstance(said, str) else json.dumps(said))
    with pytest.raises(UserError) as caught:
        read_camera_conditioning(tmp_path)
    assert str(caught.value).startswith(f"{path}: ")
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)

"""Cameras moved to an alignment, against the mesh moved the other way; figures survive their file."""

import numpy as np
import pytest
import torch
from trimesh import Trimesh

from benchmarks.canonical import canonical_silhouettes
from benchmarks.figures import mean_overlap, moved_cameras, read_figures
from benchmarks.shape_agreement import Alignment
from core.cameras import camera_rays
from core.types import Cameras
from systems.views.orbit import CameraRanges, cameras_everywhere
from toybox.scenes import build


def seen_by(cameras: Cameras, mesh: Trimesh) -> torch.Tensor:
    """Which pixels' rays meet the mesh, [views, rows, columns]."""
    rays = camera_rays(cameras)
    origins, directions = (part.reshape(-1, 3).numpy() for part in (rays.origins, rays.directions))
    return torch.from_numpy(mesh.ray.intersects_any(origins, directions)).reshape(rays.origins.shape[:-1])


def test_moved_cameras_see_the_object_as_if_it_had_been_moved():
    place = Alignment(0.5, scale=0.8, shift=(0.06, -0.05, 0.04))
    cameras = cameras_everywhere(CameraRanges((-40.0, 80.0), (1.5, 1.5), (48.0, 48.0)), 5, 48)
    chair = build("chair").mesh
    moved = Trimesh(chair.vertices * place.scale + np.array(place.shift), chair.faces, process=False)
    truth = seen_by(cameras, moved)
    assert mean_overlap(truth, seen_by(moved_cameras(cameras, place), chair)) > 0.98  # a ray may graze an edge
    assert mean_overlap(truth, seen_by(cameras, chair)) < 0.8


def test_canonical_silhouettes_are_those_of_the_canonical_mesh():
    cameras = cameras_everywhere(CameraRanges((-40.0, 80.0), (1.4, 1.8), (42.0, 52.0)), 4, 48)
    assert mean_overlap(seen_by(cameras, build("chair").mesh), canonical_silhouettes("chair", cameras)) > 0.98


def test_overlap_is_the_mean_over_views():
    one = torch.zeros(2, 4, 4, dtype=torch.bool)
    one[:, :2] = True
    other = one.clone()
    other[1] = True  # twice as large
    assert mean_overlap(one, other) == pytest.approx((1 + 0.5) / 2)


def test_nothing_is_read_where_nothing_was_measured(tmp_path):
    assert read_figures(tmp_path) is None

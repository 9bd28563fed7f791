"""Colours from pictures: projection, visibility and blending."""

from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from core.cameras import camera_rays, orbit_cameras
from core.types import Cameras
from exporters.projection import Photographs, project, seen_colours
from geometry.mesh import Mesh

SIZE = 64


def _around(n_views: int) -> Cameras:
    ones = torch.ones(n_views)
    return orbit_cameras(25 * ones, torch.arange(n_views) * 360 / n_views, 1.6 * ones, 47 * ones, SIZE, SIZE)


def _from(elevation_deg: float, azimuth_deg: float) -> Cameras:
    one = torch.ones(1)
    return orbit_cameras(elevation_deg * one, azimuth_deg * one, 1.6 * one, 47 * one, SIZE, SIZE)


def test_points_on_a_ray_project_to_its_pixel():
    cameras = _around(3)
    rays = camera_rays(cameras)
    for view, row, column in ((0, 0, 0), (1, 17, 50), (2, 63, 31)):
        points = rays.origins[view, row, column] + torch.tensor([[0.5], [2.0]]) * rays.directions[view, row, column]
        expected = torch.tensor([(column + 0.5) / SIZE * 2 - 1, (row + 0.5) / SIZE * 2 - 1])
        torch.testing.assert_close(project(points, cameras[view : view + 1]), expected.expand(2, 2), atol=1e-5, rtol=0)


def test_points_behind_the_camera_are_outside():
    camera = _from(0.0, 0.0)
    assert bool((project(torch.tensor([[0.0, 0.0, 2.0]]), camera).abs() > 1).all())


def _level(*azimuth_deg: float) -> Cameras:
    """Cameras on the horizon."""
    ones = torch.ones(len(azimuth_deg))
    return orbit_cameras(0 * ones, torch.tensor(azimuth_deg), 1.6 * ones, 47 * ones, SIZE, SIZE)


def _flat(cameras: Cameras, colours: list[list[float]]) -> Photographs:
    """Pictures of one colour each, all of it object."""
    pictures = torch.tensor(colours)[:, None, None].expand(-1, SIZE, SIZE, 3)
    return Photographs(cameras, pictures, torch.ones(len(cameras), SIZE, SIZE))


def test_a_point_takes_the_colour_of_the_picture_that_faces_it():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.4)
    cameras = _level(0.0, 180.0)
    photographs = _flat(cameras, [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    vertices, normals = np.asarray(ball.vertices, np.float32), np.asarray(ball.vertex_normals, np.float32)
    colours, _ = seen_colours(vertices, normals, photographs, Mesh(vertices, np.asarray(ball.faces)))
    front, back = vertices[:, 2] > 0.2, vertices[:, 2] < -0.2
    assert colours[front] == pytest.approx(np.tile([1, 0, 0], (front.sum(), 1)), abs=1e-6)
    assert colours[back] == pytest.approx(np.tile([0, 0, 1], (back.sum(), 1)), abs=1e-6)


def test_what_another_part_hides_is_not_painted_through_it():
    plate = trimesh.creation.box((0.8, 0.8, 0.02))
    shield = trimesh.creation.box((0.8, 0.8, 0.02))
    shield.apply_translation((0, 0, 0.3))
    both: Any = trimesh.util.concatenate([plate, shield])
    points = np.array([[0.0, 0.0, 0.01], [0.0, 0.0, 0.31]], np.float32)
    normals = np.array([[0, 0, 1], [0, 0, 1]], np.float32)
    side = 75.0  # looks into the gap, from a direction in which the shield does not hide the plate's middle
    cameras = _level(0.0, side)
    photographs = _flat(cameras, [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    colours, _ = seen_colours(points, normals, photographs, Mesh(np.asarray(both.vertices), np.asarray(both.faces)))
    assert colours[0] == pytest.approx([0, 1, 0], abs=1e-6)
    assert colours[1, 0] > 0.9


def test_weights_say_how_well_points_are_seen():
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.4)
    vertices, normals = np.asarray(ball.vertices, np.float32), np.asarray(ball.vertex_normals, np.float32)
    photographs = _flat(_from(0.0, 0.0), [[0.2, 0.4, 0.6]])
    told: list[int] = []
    _, weights = seen_colours(
        vertices, normals, photographs, Mesh(vertices, np.asarray(ball.faces)), lambda: told.append(1)
    )
    toward = np.array([0, 0, 1.6]) - vertices
    distance = np.linalg.norm(toward, axis=1)
    cosine = (normals * toward).sum(axis=1) / distance
    horizon = 0.4 / 1.6  # seen from 1.6, the ball's points with z / 0.4 below this are on its far side
    assert (weights[vertices[:, 2] / 0.4 < horizon - 0.05] == 0).all()
    squarely = cosine > 0.3
    assert weights[squarely] == pytest.approx(cosine[squarely] ** 4 * (1.6 / distance[squarely]) ** 2, rel=1e-3)
    assert told == [1]


def test_of_two_cameras_the_nearer_one_counts_more():
    ones = torch.ones(2)
    cameras = orbit_cameras(0 * ones, 0 * ones, torch.tensor([1.0, 2.0]), 47 * ones, SIZE, SIZE)
    point, normal = np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]])
    colours, weights = seen_colours(point, normal, _flat(cameras, [[1.0, 0, 0], [0, 1.0, 0]]), _far_triangle())
    assert colours[0] == pytest.approx([0.8, 0.2, 0])  # as 1 to a quarter: pixels count by their area
    assert weights[0] == pytest.approx(1.25)


def _far_triangle() -> Mesh:
    return Mesh(np.array([[5, 5, 5], [6, 5, 5], [5, 6, 5]], np.float32), np.array([[0, 1, 2]]))


def test_background_at_the_silhouette_hardly_counts():
    """A thin upright plate: of two pictures one shows its edge before white, the other its face."""
    photographs = _flat(
        _level(-30.0, 30.0),
        [[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]],
    )
    opacity = photographs.opacity.clone()
    opacity[0, :, SIZE // 2 + 1 :] = 0  # the first picture has background right beside the point
    opacity[0, :, : SIZE // 2 - 1] = 0
    points, normals = np.array([[0.0, 0.0, 0.0]], np.float32), np.array([[0, 0, 1]], np.float32)
    hidden = Photographs(photographs.cameras, photographs.colours, opacity)
    seen, _ = seen_colours(points, normals, hidden, _far_triangle())
    assert seen[0] == pytest.approx([1, 0.02, 0.02], abs=0.01)

"""Rasterisation: embree against a loop over all faces, footprints against neighbouring rays."""

import time

import pytest
import torch
from torch import Tensor

from core.cameras import camera_rays, orbit_cameras
from core.errors import UserError
from core.types import Cameras
from renderers.fragments import Fragments, at_points, surface_footprint
from renderers.rasterize import RASTERIZERS, RayCaster
from tests.renderers.meshes import bumpy_ball, crossing_sheets


def views(size: int = 24, n: int = 3, width: int | None = None) -> Cameras:
    """Cameras at odd angles, so that no ray runs along an edge."""
    turn = torch.linspace(13.7, 301.3, n)
    level = torch.linspace(-31.1, 47.3, n)
    return orbit_cameras(level, turn, torch.full((n,), 1.6), torch.full((n,), 47.0), size, width or size)


def first_faces(cameras: Cameras, vertices: Tensor, faces: Tensor) -> Fragments:
    """Every ray against every face, by Cramer's rule in float64."""
    rays = camera_rays(cameras)
    shape = rays.directions.shape[:-1]
    origins, directions = rays.origins.reshape(-1, 3).double(), rays.directions.reshape(-1, 3).double()
    nearest = torch.full((len(origins),), torch.inf, dtype=torch.float64)
    face = torch.full((len(origins),), -1)
    barycentrics = torch.zeros(len(origins), 3, dtype=torch.float64)
    for index, (a, b, c) in enumerate(vertices.double()[faces]):
        # o + t d = a + u (b - a) + v (c - a)
        matrix = torch.stack([-directions, (b - a).expand_as(directions), (c - a).expand_as(directions)], dim=-1)
        t, u, v = torch.linalg.solve(matrix, origins - a).unbind(dim=-1)
        closer = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0) & (t < nearest)
        nearest = torch.where(closer, t, nearest)
        face[closer] = index
        barycentrics[closer] = torch.stack([1 - u - v, u, v], dim=-1)[closer]
    return Fragments(face.view(shape), barycentrics.float().view(*shape, 3))


@pytest.mark.parametrize("mesh", [bumpy_ball(1), crossing_sheets()], ids=["closed", "sheets"])
def test_raycast_equals_the_loop_over_all_faces(mesh: tuple[Tensor, Tensor]):
    cameras = views(width=31)
    found, expected = RayCaster(*mesh)(cameras), first_faces(cameras, *mesh)
    assert 0.1 < float(expected.mask.float().mean()) < 0.9
    assert torch.equal(found.face, expected.face)
    torch.testing.assert_close(found.barycentrics, expected.barycentrics, atol=2e-4, rtol=0)


def test_points_lie_on_the_rays():
    vertices, faces = bumpy_ball()
    cameras = views()
    found = RayCaster(vertices, faces)(cameras)
    points = at_points(vertices[faces[found.face[found.mask]]], found.barycentrics[found.mask])
    rays = camera_rays(cameras)
    toward = points - rays.origins[found.mask]
    along = (toward * rays.directions[found.mask]).sum(dim=-1, keepdim=True)
    torch.testing.assert_close(toward, along * rays.directions[found.mask], atol=1e-5, rtol=0)


def test_both_sides_are_seen():
    vertices, faces = bumpy_ball()
    cameras = views()
    turned_over = RayCaster(vertices, faces.flip(1))(cameras)
    assert torch.equal(RayCaster(vertices, faces)(cameras).face, turned_over.face)


def test_a_view_of_nothing_has_no_face():
    vertices, faces = bumpy_ball()
    found = RayCaster(vertices + torch.tensor([0.0, 9.0, 0.0]), faces)(views())
    assert not bool(found.mask.any())
    assert float(found.barycentrics.abs().max()) == 0


def test_4096_rays_on_80000_faces_take_milliseconds():
    caster = RayCaster(*bumpy_ball(6))
    cameras = views(64, 1)
    caster(cameras)
    seconds = []
    for _ in range(5):
        start = time.thread_time()
        caster(cameras)
        seconds.append(time.thread_time() - start)
    assert min(seconds) < 0.03, "a few milliseconds of computing are usual; the floor leaves room for slow machines"


def test_footprint_is_the_area_between_neighbouring_rays():
    """On a plane, the quadrilateral that four rays through a pixel's corners cut out."""
    cameras = views(200, 1)
    normal, offset = torch.nn.functional.normalize(torch.tensor([0.3, 0.8, -0.5]), dim=0), 0.1
    corners = camera_rays(cameras.resized(400, 400))  # every second ray's neighbours surround a pixel's centre
    distance = (offset - corners.origins @ normal) / (corners.directions @ normal)
    points = (corners.origins + distance[..., None] * corners.directions)[0]
    a, b = points[2::2, 2::2] - points[:-2:2, :-2:2], points[2::2, :-2:2] - points[:-2:2, 2::2]
    expected = torch.linalg.cross(a, b).norm(dim=-1) / 2  # centred on the odd fine rays
    rays = (corners.directions[0, 1:-1:2, 1:-1:2], distance[0, 1:-1:2, 1:-1:2])
    keep = (rays[0] @ normal).abs() > 0.2
    pixel = 2 * (cameras.fovy_deg.deg2rad() / 2).tan() / cameras.height
    n = int(keep.sum())
    forward = -cameras.c2w[0, :3, 2].expand(n, 3)
    side = surface_footprint(rays[1][keep].abs(), rays[0][keep], normal.expand(n, 3), forward, pixel.expand(n))
    torch.testing.assert_close(side.square(), expected[keep], rtol=0.02, atol=0)


def test_naming_nvdiffrast_where_it_cannot_run_says_why(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="rasterizer: 'nvdiffrast' cannot run here: nvdiffrast is not installed"):
        RASTERIZERS.choose("nvdiffrast")
    assert RASTERIZERS.choose("auto") is RayCaster

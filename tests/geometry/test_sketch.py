"""Sketches: what they say of points in closed form, and which files are refused."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from core.errors import UserError
from geometry.bodies import encloses_volume
from geometry.placement import Placement
from geometry.sketch import Sketch, load_sketch_mesh, read_sketch
from tests.geometry.small_meshes import ply, written

RADIUS, BOUND = 0.5, 0.6


def _ball(folder: Path, **settings: Any) -> Sketch:
    path = folder / "ball.ply"
    trimesh.creation.icosphere(subdivisions=4, radius=3.0).export(path)
    return read_sketch(path, Placement(scale=RADIUS), BOUND, resolution=48, **settings)


def _points(n: int = 20000) -> Tensor:
    return (torch.rand(n, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1) * BOUND


def test_a_ball_by_its_radius(tmp_path: Path):
    sketch, points = _ball(tmp_path), _points()
    reading, radius = sketch(points), points.norm(dim=-1)
    assert sketch.cell == pytest.approx(1.2 / 47)
    clear = (radius - RADIUS).abs() > 0.05 * sketch.cell
    assert torch.equal(reading.occupied[clear], radius[clear] < RADIUS)
    # The least that interpolation of an unsigned distance can read on the surface is a share of a cell.
    assert float((reading.distance - (radius - RADIUS).abs()).abs().max()) < 0.6 * sketch.cell


def test_normals_point_outward_on_both_sides(tmp_path: Path):
    sketch, points = _ball(tmp_path, with_normals=True), _points()
    points = points[((points.norm(dim=-1) - RADIUS).abs() < 0.08)]
    cosine = (sketch.normals(points) * torch.nn.functional.normalize(points, dim=-1)).sum(dim=-1)
    assert float(cosine.min()) > 0.98
    with pytest.raises(ValueError, match="made without normals"):
        _ball(tmp_path).normals(points)


def test_no_gradient_flows_to_positions(tmp_path: Path):
    points = _points(10).requires_grad_()
    assert not _ball(tmp_path)(points).distance.requires_grad


def test_half_precision_positions_are_read_in_full(tmp_path: Path):
    reading = _ball(tmp_path)(torch.tensor([[0.1, 0.2, 0.3]], dtype=torch.float16))
    assert reading.distance.dtype == torch.float32


def test_a_box_of_the_meshs_own_coordinates(tmp_path: Path):
    path = tmp_path / "brick.ply"
    brick = trimesh.creation.box(extents=(2.0, 4.0, 4.0))  # from (9, -2, -2) to (11, 2, 2)
    brick.apply_translation([10, 0, 0])
    brick.export(path)
    sketch = read_sketch(path, Placement(scale=0.6, up_axis="z"), 0.61, resolution=24)
    # Farthest vertex 3 from the middle: 5 own units are one world unit; +z is up, so world y is z, world z is -y.
    world = torch.tensor([[0.1, 0.3, 0.1], [0.1, 0.3, -0.1], [-0.1, 0.3, 0.1], [0.1, 0.5, 0.1], [0.1, -0.1, 0.1]])
    within = sketch.within(world, ((10.0, -1.0, 0.0), (11.0, 0.0, 2.0)))
    assert within.tolist() == [True, False, False, False, False]


def test_touched_cells_are_those_that_overlap_grown_by_one(tmp_path: Path):
    sketch = _ball(tmp_path)
    axis = (torch.arange(16) + 0.5) / 16 * 1.2 - 0.6
    low, high = axis - 0.6 / 16, axis + 0.6 / 16
    nearest = torch.where((low < 0) & (high > 0), 0.0, torch.minimum(low.abs(), high.abs()))
    overlap = torch.stack(torch.meshgrid(nearest, nearest, nearest, indexing="ij")).norm(dim=0) < RADIUS
    touched = sketch.touched_cells(BOUND, 16, grow=0)
    assert bool(touched[overlap].all()), "no cell with some of the ball is missed"
    far = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).norm(dim=0) > RADIUS + 0.07
    assert not bool(touched[far].any())
    steps = [(i, j, k) for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)]
    neighbours = torch.stack([torch.roll(touched, step, (0, 1, 2)) for step in steps])
    inner = (slice(1, -1),) * 3
    assert torch.equal(sketch.touched_cells(BOUND, 16)[inner], neighbours.any(dim=0)[inner])


def test_nothing_of_it_is_trained_or_saved(tmp_path: Path):
    sketch = _ball(tmp_path)
    assert not sketch.state_dict()
    assert not list(sketch.parameters())


def _refused(path: Path, **settings: Any) -> str:
    with pytest.raises(UserError) as caught:
        read_sketch(path, Placement(**settings), BOUND, resolution=24)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_flat_meshes_are_refused(tmp_path: Path):
    sheet = trimesh.Trimesh([[0, 0, 0], [1, 0, 1], [0, 1, 0], [1, 1, 1]], [[0, 1, 2], [2, 1, 3]])
    sheet.export(tmp_path / "sheet.obj")
    assert "flat: all of its vertices lie in one plane or line" in _refused(tmp_path / "sheet.obj", scale=0.5)


@pytest.mark.parametrize(
    ("scale", "complaint"),
    [("1e300", "coordinates up to 1e+300"), ("1e-200", "zero extent"), ("nan", "4 vertices are not finite")],
)
def test_sizes_that_cannot_be_computed_with_are_refused(tmp_path: Path, scale: str, complaint: str):
    lines = [f"v {scale} 0 0", f"v 0 {scale} 0", f"v 0 0 {scale}", f"v {scale} {scale} {scale}", "f 1 2 3", "f 4 3 2"]
    (tmp_path / "a.obj").write_text("\n".join(lines))
    assert complaint in _refused(tmp_path / "a.obj", scale=0.5)


def test_faces_in_a_line_are_refused(tmp_path: Path):
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 1 1\nv 2 2 2\nv 0 5 0\nf 1 2 3\nf 4 4 1\n")
    assert "zero area: its faces are lines or points" in _refused(tmp_path / "a.obj", scale=0.5)


def test_sizes_do_not_matter_where_they_can_be_computed_with(tmp_path: Path):
    for size in (1e-30, 1e30):
        trimesh.creation.box(extents=[size] * 3).export(tmp_path / "a.glb")
        sketch = read_sketch(tmp_path / "a.glb", Placement(scale=0.5), BOUND, resolution=24)
        inside = sketch(torch.tensor([[0.0, 0.0, 0.0], [0.25, 0.0, 0.0], [0.35, 0.0, 0.0]])).occupied
        assert inside.tolist() == [True, True, False]


def test_bodies_thinner_than_the_tables_can_hold_are_refused(tmp_path: Path):
    trimesh.creation.box(extents=(1.0, 0.01, 1.0)).export(tmp_path / "sheet.stl")
    assert "encloses no volume that is 0.052 thick" in _refused(tmp_path / "sheet.stl", scale=0.5)


def test_what_reaches_out_of_the_field_is_refused(tmp_path: Path):
    trimesh.creation.box().export(tmp_path / "box.stl")
    said = _refused(tmp_path / "box.stl", scale=0.7)
    assert "it reaches 0.7 from the origin, but the field ends at 0.6; make it smaller (scale)" in said
    assert "reaches 0.866" in _refused(tmp_path / "box.stl", scale="none")


def test_an_open_surface_gets_a_notice_and_works(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    ball = trimesh.creation.icosphere(subdivisions=3)
    cut = trimesh.Trimesh(ball.vertices, ball.faces[ball.triangles_center[:, 1] < 0.6])
    cut.export(tmp_path / "cut.stl")
    with caplog.at_level(logging.WARNING, "geometry.sketch"):
        sketch = read_sketch(tmp_path / "cut.stl", Placement(scale=0.5), BOUND, resolution=24)
    assert "not watertight; what its faces surround by more than half counts as inside" in caplog.text
    assert sketch(torch.tensor([[0.0, -0.2, 0.0], [0.0, 0.45, 0.0]])).occupied.tolist() == [True, False]


def test_inverted_bodies_get_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    bodies = [trimesh.creation.box(transform=trimesh.transformations.translation_matrix([x, 0, 0])) for x in (0, 0.6)]
    bodies[1].invert()
    trimesh.Scene(bodies).export(tmp_path / "two.glb")
    with caplog.at_level(logging.WARNING, "geometry.sketch"):
        sketch = read_sketch(tmp_path / "two.glb", Placement(scale=0.5), BOUND, resolution=24)
    assert "two.glb: 12 faces looked inward and were turned over" in caplog.text
    assert sketch(torch.zeros(1, 3)).occupied.tolist() == [True], "where both overlap"
    assert bool(sketch.table.isfinite().all())


def test_a_large_mesh_is_simplified_with_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "ball.stl"
    trimesh.creation.icosphere(subdivisions=3).export(path)
    with caplog.at_level(logging.WARNING, "geometry.sketch"):
        mesh = load_sketch_mesh(path, most_faces=500)
    assert len(mesh.faces) <= 500
    assert encloses_volume(mesh)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 1).max() < 0.05
    assert caplog.messages == [f"{path}: 1,280 faces, simplified to 500"]


def test_vertices_without_a_face_are_left_out(tmp_path: Path):
    points = "nan 0 0\n0 0 0\n1 0 0\n1e30 0 0\n0 1 0"
    mesh = load_sketch_mesh(written(tmp_path, "a.ply", ply(points, "3 4 1 2")))
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert mesh.faces.tolist() == [[2, 0, 1]]

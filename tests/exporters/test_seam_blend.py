"""The two sides of a seam become one; the rest of the texture stays."""

from dataclasses import replace

import numpy as np
import trimesh

from exporters.seam_blend import blend_seams
from exporters.seams import seam_gaps
from geometry.mesh import Mesh
from geometry.texels import Texels, covered_texels
from geometry.unwrap import unwrap

SIZE = 128
REACH = 0.06


def _unwrapped(body: trimesh.Trimesh) -> tuple[Mesh, Texels]:
    mesh, _ = unwrap(Mesh(np.asarray(body.vertices, np.float32), np.asarray(body.faces)), SIZE)
    return mesh, covered_texels(mesh.uv_with(v_down=False), mesh.faces, SIZE, SIZE, reach=1.0)


def _sides(texels: Texels, mesh: Mesh) -> np.ndarray:
    """Another colour on each side of a box."""
    corners = mesh.corners
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    colour = 0.5 + 0.3 * normal / np.linalg.norm(normal, axis=1, keepdims=True)
    return colour[texels.face]


def _gap(mesh: Mesh, texels: Texels, colours: np.ndarray) -> float:
    return seam_gaps(replace(mesh, texture=np.rint(texels.texture(colours) * 255).astype(np.uint8))).all_seams


def test_a_box_of_six_colours_gets_edges_without_a_step_and_keeps_its_sides() -> None:
    mesh, texels = _unwrapped(trimesh.creation.box(extents=(1.0, 1.0, 1.0)))
    before = _sides(texels, mesh)
    after = blend_seams(texels, before, mesh, REACH)
    assert _gap(mesh, texels, before) > 0.15
    assert _gap(mesh, texels, after) < 0.05
    places = texels.of_corners(mesh.vertices.astype(np.float64), mesh.faces)
    points = np.abs(places)
    from_edge = 0.5 - np.sort(points, axis=1)[:, 1]  # the middle coordinate is the nearest to an edge
    assert np.array_equal(after[from_edge > REACH], before[from_edge > REACH])
    # On an edge of a box, both sides show the mean of their two colours, but near corners, where a third has a say.
    on_edge = (np.abs(from_edge) < 0.006) & (np.sort(points, axis=1)[:, 0] < 0.3)
    assert on_edge.sum() > 50
    largest_two = np.argsort(points, axis=1)[:, 1:]
    signs = np.sign(places)
    mean = np.full_like(after, 0.5)
    np.put_along_axis(mean, largest_two, 0.5 + 0.15 * np.take_along_axis(signs, largest_two, axis=1), axis=1)
    assert np.abs(before - mean)[on_edge].max() > 0.14
    assert np.abs(after - mean)[on_edge].max() < 0.05


def test_what_agrees_already_stays() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    mesh, texels = _unwrapped(ball)
    smooth = texels.of_corners(mesh.vertices.astype(np.float64) * 0.5 + 0.5, mesh.faces)
    after = blend_seams(texels, smooth, mesh, REACH)
    assert np.abs(after - smooth).max() < 0.01


def test_a_strip_that_closes_on_itself_is_blended_where_its_ends_meet() -> None:
    """One chart, torn once: its two ends are the same place on the surface, and far apart in the texture."""
    n = 24
    turn = np.linspace(0, 2 * np.pi, n + 1)
    ring = 0.5 * np.column_stack([np.cos(turn), np.zeros(n + 1), np.sin(turn)])
    ring[-1] = ring[0]
    vertices = np.concatenate([ring, ring + np.array([0, 0.3, 0])]).astype(np.float32)
    across = np.linspace(0.05, 0.95, n + 1)
    uv = np.column_stack([np.tile(across, 2), np.repeat([0.3, 0.6], n + 1)]).astype(np.float32)
    low = np.arange(n)
    faces = np.concatenate(
        [np.column_stack([low, low + n + 1, low + 1]), np.column_stack([low + 1, low + n + 1, low + n + 2])]
    )
    texels = covered_texels(uv, faces, SIZE, SIZE, reach=1.0)
    ramp = np.repeat(texels.of_corners(np.tile(np.linspace(0, 1, n + 1), 2)[:, None], faces), 3, axis=1)
    after = blend_seams(texels, ramp, Mesh(vertices, faces, uv=uv), 0.2)
    column = texels.index % SIZE
    assert np.abs(after[column == 7] - 0.5).max() < 0.06  # just inside the left end, 0 before
    assert np.abs(after[column == 120] - 0.5).max() < 0.06  # and the right one, 1 before
    assert np.array_equal(after[column == 64], ramp[column == 64])


def test_a_surface_without_seams_is_left_alone() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    texels = covered_texels(vertices[:, :2], faces, 16, 16, reach=1.0)
    colours = np.random.default_rng(0).random((len(texels.index), 3))
    assert blend_seams(texels, colours, Mesh(vertices, faces, uv=vertices[:, :2]), 0.5) is colours

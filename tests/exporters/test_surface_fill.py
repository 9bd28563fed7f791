"""Colours for what nobody sees: over the surface, not through it."""

import numpy as np
import pytest
import trimesh

from exporters.surface_fill import fill_over_surface
from geometry.mesh import Mesh

RED, BLUE = [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]


def _strip(n: int) -> tuple[np.ndarray, np.ndarray]:
    """A ladder of n squares along x."""
    x = np.arange(n + 1)
    vertices = np.concatenate([np.stack([x, 0 * x, 0 * x], 1), np.stack([x, 0 * x + 1, 0 * x], 1)]).astype(np.float32)
    low, high = np.arange(n), np.arange(n) + n + 1
    faces = np.concatenate([np.stack([low, low + 1, high + 1], 1), np.stack([low, high + 1, high], 1)])
    return vertices, faces


def test_between_two_ends_colours_pass_evenly() -> None:
    vertices, faces = _strip(10)
    known = np.isin(vertices[:, 0], [0, 10])
    colours = np.where(vertices[:, :1] == 0, RED, BLUE) * known[:, None]
    filled = fill_over_surface(Mesh(vertices, faces), colours, known)
    expected = np.array(RED) + vertices[:, :1] / 10 * (np.array(BLUE) - RED)
    assert filled == pytest.approx(expected, abs=0.03)  # the diagonals lean a little
    assert np.array_equal(filled[known], colours[known])


def test_a_thin_wall_keeps_its_sides_apart() -> None:
    """The far side of a thin plate takes its rim's colour, not that of the near side a hair's breadth away."""
    plate = trimesh.creation.box((1, 1, 0.01)).subdivide().subdivide().subdivide()
    vertices, faces = np.asarray(plate.vertices, np.float32), np.asarray(plate.faces)
    inside = np.abs(vertices[:, :2]).max(axis=1) < 0.4
    front, back = (vertices[:, 2] > 0) & inside, (vertices[:, 2] < 0) & inside
    known = ~back
    colours = np.where(front[:, None], RED, BLUE)
    filled = fill_over_surface(Mesh(vertices, faces), colours, known)
    assert filled[back] == pytest.approx(np.tile(BLUE, (back.sum(), 1)), abs=1e-6)


def test_seams_do_not_stop_it() -> None:
    vertices, faces = _strip(4)
    apart = vertices[faces.ravel()]  # every face has its own three vertices
    known = apart[:, 0] == 0
    filled = fill_over_surface(Mesh(apart, np.arange(len(apart)).reshape(-1, 3)), np.tile(RED, (len(apart), 1)), known)
    assert filled == pytest.approx(np.tile(RED, (len(apart), 1)))


def test_a_piece_of_which_nothing_is_known_takes_the_nearest_colour() -> None:
    vertices, faces = _strip(2)
    both = np.concatenate([vertices, vertices + np.array([10, 0, 0], np.float32)])
    known = np.zeros(len(both), bool)
    known[[0, 2, 5]] = True  # the first strip's ends at x = 0 and x = 2
    colours = np.where(both[:, :1] == 2, BLUE, RED)
    mesh = Mesh(both, np.concatenate([faces, faces + len(vertices)]))
    filled = fill_over_surface(mesh, colours, known)
    assert filled[len(vertices) :] == pytest.approx(np.tile(BLUE, (len(vertices), 1)))


def test_where_nothing_is_known_it_is_grey() -> None:
    vertices, faces = _strip(2)
    filled = fill_over_surface(Mesh(vertices, faces), np.zeros((6, 3)), np.zeros(6, bool))
    assert filled.tolist() == [[0.5, 0.5, 0.5]] * 6

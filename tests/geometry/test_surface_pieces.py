"""Pieces of a mesh, and what of them can be seen from outside."""

from typing import Any

import numpy as np
import pytest
import trimesh

from geometry.mesh import Mesh
from geometry.surface_pieces import is_closed, pieces, spread_directions, without_hidden_pieces


def _together(*meshes: trimesh.Trimesh) -> Mesh:
    whole: Any = trimesh.util.concatenate(list(meshes))
    return Mesh(np.asarray(whole.vertices, np.float32), np.asarray(whole.faces))


def _ball(radius: float, inside_out: bool = False, at: tuple[float, float, float] = (0, 0, 0)) -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    ball.apply_translation(at)
    if inside_out:
        ball.invert()
    return ball


def test_pieces_are_numbered_apart() -> None:
    mesh = _together(_ball(0.1), _ball(0.1, at=(1, 0, 0)))
    number = pieces(mesh.faces)
    assert sorted(set(number.tolist())) == [0, 1]
    assert (number == (mesh.corners[:, 0, 0] > 0.5)).all()


def test_rooms_within_a_body_and_what_is_in_them_go() -> None:
    mesh = _together(_ball(1.0), _ball(0.6, inside_out=True), _ball(0.3), _ball(0.2, at=(3, 0, 0)))
    kept, n_hidden = without_hidden_pieces(mesh)
    assert n_hidden == 2
    radii = {round(float(np.linalg.norm(v if v[0] < 2 else v - [3, 0, 0])), 3) for v in kept.vertices}
    assert sorted(radii) == [0.2, 1.0]
    assert len(kept.vertices) == 2 * 162
    assert kept.faces.max() == len(kept.vertices) - 1


def test_what_can_be_seen_through_a_door_stays() -> None:
    shell = trimesh.creation.box((2, 2, 2)).subdivide().subdivide()
    centres = shell.triangles_center
    is_door = (centres[:, 2] > 0.99) & (np.abs(centres[:, :2]) < 0.5).all(axis=1)
    open_faces = shell.faces[~is_door]
    outer = trimesh.Trimesh(shell.vertices, open_faces, process=False)
    mesh = _together(outer, _ball(0.3))
    kept, n_hidden = without_hidden_pieces(mesh)
    assert n_hidden == 0
    assert kept is mesh


def test_directions_are_even() -> None:
    away = spread_directions(96)
    assert np.linalg.norm(away, axis=1) == pytest.approx(np.ones(96))
    assert away.mean(axis=0) == pytest.approx(np.zeros(3), abs=0.01)
    assert away.T @ away / 96 == pytest.approx(np.eye(3) / 3, abs=0.01)


def test_closed_means_every_edge_once_each_way():
    box = np.asarray(trimesh.creation.box().faces)
    assert is_closed(box)
    assert not is_closed(box[1:])
    flipped = box.copy()
    flipped[0] = flipped[0, ::-1]
    assert not is_closed(flipped)
    assert not is_closed(np.concatenate([box, box[:1]]))

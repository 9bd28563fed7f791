"""Which face a texel shows: against all faces, one by one."""

import numpy as np
import pytest

from geometry import texels as module
from geometry.texels import covered_texels


def _random_faces(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.random((3 * n, 2)), np.arange(3 * n).reshape(n, 3)


def _slowly(uv: np.ndarray, faces: np.ndarray, height: int, width: int) -> dict[int, int]:
    """First face around each texel's centre, by solving for the barycentrics of every pair."""
    found: dict[int, int] = {}
    for row in range(height):
        for column in range(width):
            centre = np.array([(column + 0.5) / width, 1 - (row + 0.5) / height, 1])
            for face, corners in enumerate(faces):
                shares = np.linalg.solve(np.vstack([uv[corners].T, np.ones(3)]), centre)
                if (shares > 0).all():
                    found[row * width + column] = face
                    break
    return found


def test_every_centre_finds_its_face(monkeypatch: pytest.MonkeyPatch) -> None:
    uv, faces = _random_faces(np.random.default_rng(3), 6)
    monkeypatch.setattr(module, "AT_ONCE", 100)  # several chunks
    texels = covered_texels(uv, faces, 12, 20)
    assert dict(zip(texels.index.tolist(), texels.face.tolist(), strict=True)) == _slowly(uv, faces, 12, 20)


def test_what_corners_have_is_interpolated_to_the_centres() -> None:
    uv, faces = _random_faces(np.random.default_rng(4), 3)
    texels = covered_texels(uv, faces, 16, 16)
    centres = np.stack([(texels.index % 16 + 0.5) / 16, 1 - (texels.index // 16 + 0.5) / 16], axis=1)
    assert texels.of_corners(uv, faces) == pytest.approx(centres)


def test_two_faces_of_a_square_cover_it_without_a_crack() -> None:
    uv = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    texels = covered_texels(uv, np.array([[0, 1, 2], [0, 2, 3]]), 32, 32)
    assert texels.covered().all()
    lower_right = texels.face.reshape(32, 32) == 0
    assert lower_right[31, 31]
    assert not lower_right[0, 0]


def test_beyond_the_borders_the_texture_repeats() -> None:
    square = np.array([[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]])
    faces = np.array([[0, 1, 2], [0, 2, 3]])
    here = covered_texels(square, faces, 8, 8)
    there = covered_texels(square + np.array([-3, 2]), faces, 8, 8)
    assert here.index.tolist() == there.index.tolist()
    assert here.covered()[4:, :4].all()  # lower left
    assert here.covered().sum() == 16


def test_texels_beside_the_charts_have_the_nearest_colour() -> None:
    uv = np.array([[0, 0], [0.25, 0], [0.25, 1], [0, 1], [0.75, 0], [1, 0], [1, 1], [0.75, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    texels = covered_texels(uv, faces, 8, 8)
    texture = texels.texture((texels.face >= 2).astype(float)[:, None])
    assert texture[:, :4].max() == 0
    assert texture[:, 4:].min() == 1


def test_beside_a_face_its_plane_goes_on() -> None:
    """A look at the very border of a chart finds what the surface has there, since bilinear looks are linear."""
    uv = np.array([[0.3, 0.3], [0.71, 0.32], [0.5, 0.8]])
    texels = covered_texels(uv, np.array([[0, 1, 2]]), 16, 16, reach=1.0)
    inside = covered_texels(uv, np.array([[0, 1, 2]]), 16, 16)
    assert set(inside.index) < set(texels.index)
    centres = np.stack([(texels.index % 16 + 0.5) / 16, 1 - (texels.index // 16 + 0.5) / 16], axis=1)
    assert texels.of_corners(uv, np.array([[0, 1, 2]])) == pytest.approx(centres)
    beside = ~np.isin(texels.index, inside.index)
    assert (texels.barycentric[beside].min(axis=1) < 0).all()
    assert (texels.barycentric[~beside].min(axis=1) >= -1e-6).all()


def test_a_centre_between_two_faces_belongs_to_the_nearer() -> None:
    uv = np.array([[0.0, 0], [0.25, 0], [0.25, 1], [0, 1], [0.46, 0], [1, 0], [1, 1], [0.46, 1]])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    texels = covered_texels(uv, faces, 8, 8, reach=2.0)  # of the columns between 2 and 3.68, the third is at 2.5
    assert texels.covered().all()
    assert (texels.face.reshape(8, 8)[:, 2] < 2).all()
    assert (texels.face.reshape(8, 8)[:, 3] >= 2).all()

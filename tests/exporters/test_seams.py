"""Seams are found where they are, and a bad bake is told from a good one."""

import numpy as np
import pytest
import trimesh

from exporters.seams import seam_gaps
from exporters.texels import covered_texels
from geometry.unwrap import unwrap


def _unwrapped_ball() -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int]:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    atlas = unwrap(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces), 256)
    return np.asarray(ball.vertices, np.float32)[atlas.vertex_map], atlas.faces, atlas.uv, atlas.height, atlas.width


def test_a_smooth_bake_hides_its_seams_and_one_colour_per_chart_shows_them() -> None:
    vertices, faces, uv, height, width = _unwrapped_ball()
    texels = covered_texels(uv, faces, height, width)
    smooth = texels.texture(texels.of_corners(vertices.astype(np.float64) + 0.5, faces))
    good = seam_gaps(vertices, faces, uv, np.rint(smooth * 255).astype(np.uint8))
    assert good.n_seams > 20
    assert good.ratio < 1.2
    chart = trimesh.graph.connected_component_labels(trimesh.Trimesh(vertices, faces, process=False).edges)
    patches = texels.texture(np.random.default_rng(0).random((chart.max() + 1, 3))[chart[faces[texels.face, 0]]])
    bad = seam_gaps(vertices, faces, uv, np.rint(patches * 255).astype(np.uint8))
    assert bad.n_seams == good.n_seams
    assert bad.ratio > 10
    assert bad.inner < 1 / 255


def test_gaps_of_a_fold_by_hand() -> None:
    """Two triangles of a square: joined in the texture, then torn apart."""
    vertices = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
    faces = np.array([[0, 1, 2], [3, 4, 5]])
    joined = vertices[:, :2].copy()
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[np.triu_indices(64, 1)] = 255  # right of the diagonal that falls; the faces meet at the one that rises
    whole = seam_gaps(vertices, faces, joined, texture[:, ::-1])
    assert whole.n_seams == 0
    assert whole.inner == pytest.approx(1, abs=0.1)
    torn = joined.copy()
    torn[3:] += [2, 0]  # the same colours: the texture repeats
    apart = seam_gaps(vertices, faces, torn.astype(np.float32), texture[:, ::-1])
    assert apart.n_seams == 1
    assert apart.seams == pytest.approx(whole.inner)
    assert apart.inner == 0

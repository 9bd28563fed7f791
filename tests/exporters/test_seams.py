"""Seams are found where they are, and a bad bake is told from a good one."""

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from exporters.seams import seam_gaps
from geometry.mesh import Mesh
from geometry.texels import covered_texels
from geometry.unwrap import unwrap


def test_a_smooth_bake_hides_its_seams_and_one_colour_per_chart_shows_them() -> None:
    ball = trimesh.creation.icosphere(subdivisions=3, radius=0.5)
    mesh, atlas = unwrap(Mesh(np.asarray(ball.vertices, np.float32), np.asarray(ball.faces)), 256)
    vertices, faces = mesh.vertices, mesh.faces
    texels = covered_texels(mesh.uv_with(v_down=False), faces, atlas.height, atlas.width)
    smooth = texels.texture(texels.of_corners(vertices.astype(np.float64) + 0.5, faces))
    good = seam_gaps(replace(mesh, texture=np.rint(smooth * 255).astype(np.uint8)))
    assert good.n_seams > 20
    assert good.ratio < 1.2
    chart = trimesh.graph.connected_component_labels(trimesh.Trimesh(vertices, faces, process=False).edges)
    patches = texels.texture(np.random.default_rng(0).random((chart.max() + 1, 3))[chart[faces[texels.face, 0]]])
    bad = seam_gaps(replace(mesh, texture=np.rint(patches * 255).astype(np.uint8)))
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
    whole = seam_gaps(Mesh(vertices, faces, uv=joined, texture=texture[:, ::-1]))
    assert whole.n_seams == 0
    assert whole.inner == pytest.approx(1, abs=0.1)
    torn = joined.copy()
    torn[3:] += [2, 0]  # the same colours: the texture repeats
    apart = seam_gaps(Mesh(vertices, faces, uv=torn.astype(np.float32), texture=texture[:, ::-1]))
    assert apart.n_seams == 1
    assert apart.seams == pytest.approx(whole.inner)
    assert apart.inner == 0


def _fold(angle_deg: float, turned: bool = False) -> Mesh:
    """Two triangles that meet at the y axis and at an angle, torn apart in the texture: left half and right half."""
    turn = np.radians(angle_deg)
    left = [[0, 0, 0], [0, 1, 0], [-1, 0, 0]]
    right = [[0, 0, 0], [np.cos(turn), 0, np.sin(turn)], [0, 1, 0]]
    uv = [[0.45, 0.1], [0.45, 0.9], [0.05, 0.1], [0.55, 0.1], [0.95, 0.1], [0.55, 0.9]]
    faces = [[0, 1, 2], [3, 5, 4] if turned else [3, 4, 5]]
    vertices = np.array([*left, *right], np.float32)
    return Mesh(vertices, np.array(faces), uv=np.array(uv, np.float32), texture=HALF_WHITE)


HALF_WHITE = np.zeros((64, 64, 3), np.uint8)
HALF_WHITE[:, 32:] = 255


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("angle_deg", "is_crease"), [(0, False), (39, False), (41, True), (90, True), (179, True)])
def test_a_crease_is_counted_apart(angle_deg: float, is_crease: bool, turned: bool) -> None:
    """Black on one side, white on the other: a gap of 1 in one class and none in the other, but in that of all."""
    found = seam_gaps(_fold(angle_deg, turned))
    assert (found.n_seams, found.n_creased_seams) == ((0, 1) if is_crease else (1, 0))
    assert found.seams == pytest.approx(0 if is_crease else 1)
    assert found.creased_seams == pytest.approx(1 if is_crease else 0)
    assert found.all_seams == pytest.approx(1)
    assert found.inner == found.all_inner == 0


def test_a_crease_within_a_chart_is_no_smooth_edge() -> None:
    joined = np.array([[0.5, 0], [0.5, 1], [0, 0], [0.5, 0], [1, 0], [0.5, 1]], np.float32)
    found = seam_gaps(replace(_fold(90), uv=joined))
    assert (found.n_seams, found.n_creased_seams, found.inner) == (0, 0, 0)
    assert found.all_inner == pytest.approx(1)


@pytest.mark.parametrize(("columns", "gap"), [(64, 2 / 64), (256, 2 / 256), (4, 2 * 0.25 * 0.5 / 3)])
def test_looks_go_a_texel_or_a_quarter_of_the_way_to_the_centre(columns: int, gap: float) -> None:
    """On a ramp over u the gap is the distance of the two looks: their way to the centre is 0.5 / 3 to either side."""
    joined = np.array([[0.5, 0.25], [0.5, 0.75], [0, 0.5], [0.5, 0.25], [1, 0.5], [0.5, 0.75]], np.float32)
    ramp = np.rint((np.arange(columns) + 0.5) / columns * 255).astype(np.uint8)
    texture = np.repeat(np.tile(ramp, (columns, 1))[..., None], 3, axis=2)
    found = seam_gaps(replace(_fold(0), uv=joined, texture=texture))
    assert found.n_seams == 0
    assert found.inner == pytest.approx(gap, abs=1.5 / 255)

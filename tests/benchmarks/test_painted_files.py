"""Painted files are read as they are, and whatever has changed in a mesh is found."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.paint import neutral_mesh
from benchmarks.painted_files import PaintedFile, geometry_fault
from benchmarks.verdicts import judged_cameras
from exporters.mesh_files import write_mesh
from geometry.mesh import Mesh
from tests.exporters.test_painted_mesh import exported
from tests.systems.small_paint import write_ball
from toybox.captions import Subject

SHEET = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float32)
HALVES = np.array([[0, 1, 2], [0, 2, 3]])


def _sheet(path: Path, **changes: Any) -> Path:
    """A square of two triangles with a texture of one colour, or a variation of it."""
    mesh = {"vertices": SHEET, "faces": HALVES, "uv": SHEET[:, :2]}
    path.parent.mkdir(exist_ok=True)
    return write_mesh(path, Mesh(**{**mesh, "texture": np.full((8, 8, 3), 51, np.uint8), **changes}), {})[0]


def test_an_equal_file_has_kept_its_geometry(tmp_path: Path):
    assert geometry_fault(_sheet(tmp_path / "one" / "a.ply"), _sheet(tmp_path / "two" / "a.ply")) is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vertices": np.nextafter(SHEET, 2, dtype=np.float32)}, "positions differ"),
        ({"uv": np.nextafter(SHEET[:, :2], 2, dtype=np.float32)}, "texture coordinates differ"),
        ({"faces": HALVES[::-1]}, "faces differ"),
        ({"faces": HALVES[::-1], "vertices": SHEET * 2}, "positions and faces differ"),
    ],
)
def test_the_last_bit_and_the_order_count(changes: dict, said: str, tmp_path: Path):
    given = _sheet(tmp_path / "given" / "a.ply")
    assert geometry_fault(given, _sheet(tmp_path / "painted" / "a.ply", **changes)) == said


def test_another_format_is_said(tmp_path: Path):
    given = _sheet(tmp_path / "a.ply")
    assert geometry_fault(given, _sheet(tmp_path / "a.obj")) == "came as .ply, was written as .obj"


def test_an_atlas_must_not_overlap_and_corners_must_stay(tmp_path: Path):
    plain = tmp_path / "plain.ply"
    header = "ply\nformat ascii 1.0\nelement vertex 4\nproperty float x\nproperty float y\nproperty float z\n"
    rows = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n3 0 1 2\n3 0 2 3\n"
    plain.write_text(f"{header}element face 2\nproperty list uchar int vertex_indices\nend_header\n{rows}")
    assert geometry_fault(plain, _sheet(tmp_path / "good.ply")) is None
    doubled = {"vertices": SHEET[HALVES.ravel()], "faces": np.arange(6).reshape(2, 3)}
    apart = np.array([[0, 0], [0.4, 0], [0.4, 0.4], [0.5, 0.5], [0.9, 0.9], [0.5, 0.9]], np.float32)
    assert geometry_fault(plain, _sheet(tmp_path / "doubled.ply", **doubled, uv=apart)) is None
    onto_each_other = np.concatenate([apart[:3], apart[:3]])
    fault = geometry_fault(plain, _sheet(tmp_path / "overlaps.ply", **doubled, uv=onto_each_other))
    assert fault == "its texture coordinates overlap: 50% of what they cover is covered twice"
    moved = _sheet(tmp_path / "moved.ply", faces=np.roll(HALVES, 1, axis=1))
    assert geometry_fault(plain, moved) == "positions of its faces' corners differ"


def test_the_exporter_keeps_a_mesh_without_texture_coordinates_and_then_its_own_atlas(tmp_path: Path):
    ball = write_ball(tmp_path / "ball.ply")
    painted = exported(ball, tmp_path / "painted")
    assert geometry_fault(ball, painted) is None
    assert geometry_fault(painted, exported(painted, tmp_path / "again")) is None


def test_one_colour_is_seen_as_it_is_and_as_far_off_as_it_is(tmp_path: Path):
    """A canonical car in one grey: no seams, no fixed part right, and 0.2 in each channel off another grey."""
    given = PaintedFile(neutral_mesh("car", tmp_path)).file.mesh
    vertices, faces = np.asarray(given.vertices, np.float32), np.asarray(given.faces)
    grey, other = (
        PaintedFile(
            _sheet(
                tmp_path / f"{level}.ply",
                vertices=vertices,
                faces=faces,
                uv=np.full((len(vertices), 2), 0.5, np.float32),
                texture=np.full((8, 8, 3), level, np.uint8),
            )
        )
        for level in (51, 102)
    )
    cameras = judged_cameras(32)
    figures = grey.figures(Subject("car", "green"), cameras)
    assert figures.seams.all_seams == figures.seams.all_inner == 0
    assert figures.parts.n_fixed >= 1
    assert grey.texture.shape == (8, 8, 3)
    assert grey.distance(other, cameras) == pytest.approx(0.2 * 3**0.5, abs=1e-5)
    seen = grey.pictures(cameras)
    assert torch.isin((seen * 255).round(), torch.tensor([0.0, 51.0])).all()

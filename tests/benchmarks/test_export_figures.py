"""Figures of exported meshes, by hand and on a ball that is known in closed form."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.export_figures import (
    ExportFigures,
    export_floors,
    measure_export,
    psnr_db,
    read_export,
    verdict_in_words,
)
from tests.exporters.test_mesh import ball_system
from toybox.judge.network import Verdict


def test_psnr_by_hand() -> None:
    one, other = np.zeros((1, 2, 2, 3)), np.full((1, 2, 2, 3), 0.1)
    other[0, 0, 0] = 1.0
    where = np.ones((1, 2, 2), bool)
    where[0, 0, 0] = False
    assert psnr_db(one, other, where) == pytest.approx(20.0)
    assert psnr_db(one, one, where) == pytest.approx(100.0)
    assert psnr_db(one, other, where & False) == float("-inf")


def test_a_verdict_is_what_most_views_say() -> None:
    said = [("duck", "red"), ("duck", "blue"), ("mug", "blue")]
    verdicts = [Verdict(kind, 0.9, colour, "own", 0.0) for kind, colour in said]
    assert verdict_in_words(verdicts) == "blue duck"


def _figures(**changes: object) -> ExportFigures:
    known: dict = {"psnr_db": 23.0, "silhouette_iou": 0.93, "says": "red duck", "said": "red duck", "seconds": 30.0}
    return ExportFigures(
        **{**known, "phases": {"bake": 2.0}, "faces": 20000, "watertight": True, "seam_ratio": 1.1, **changes}
    )


def test_floors_by_hand() -> None:
    eight = [*[_figures()] * 6, _figures(psnr_db=15.0), _figures(says="red mug")]
    assert [floor.met for floor in export_floors(eight)] == [True, True, True, True]
    worse = [*eight[:5], _figures(says="blue duck", seconds=46.0), *eight[6:]]
    assert [floor.met for floor in export_floors(worse)] == [True, True, False, False]
    poor = [_figures(psnr_db=21.9, silhouette_iou=0.89)] * 8
    assert [floor.met for floor in export_floors(poor)] == [False, False, True, True]


def test_a_ball_is_exported_measured_and_kept(tmp_path: Path) -> None:
    system = ball_system()
    figures = measure_export(system, tmp_path)
    assert figures.psnr_db > 20  # the equator, where red meets green, is blurred
    assert figures.silhouette_iou > 0.9
    assert figures.says.split()[0] == figures.said.split()[0]  # a bare ball is no kind of toy, but it has a colour
    assert figures.watertight
    assert read_export(tmp_path) == figures
    assert json.loads((tmp_path / "exported.json").read_text())["faces"] == figures.faces
    assert (tmp_path / "exported.png").stat().st_size > 0
    assert read_export(tmp_path / "elsewhere") is None
    assert torch.is_grad_enabled()

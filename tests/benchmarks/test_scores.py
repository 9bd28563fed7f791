"""Cases at equal cost, what is chosen by name, and a table of means."""

import argparse
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from app.parts import register_parts
from benchmarks.figures import Figures
from benchmarks.runs import BenchmarkRun
from benchmarks.scores import SCORES, Measured, _line, chosen_scores, planned, steps_at_equal_calls, write_sheet
from benchmarks.toy_prompts import toy_prompts
from benchmarks.verdicts import Votes
from core.errors import UserError
from systems.contact_sheet import save_png, tiled
from tests.app.small_command import ROOT


def test_steps_are_those_of_equal_calls():
    assert steps_at_equal_calls(600, 3, 0) == 600
    assert steps_at_equal_calls(600, 3, 3) == 300
    assert abs(steps_at_equal_calls(650, 2, 1) * 3 - 650 * 2) <= 2
    assert steps_at_equal_calls(450, 2, -1) == 900, "a picture that is followed for many steps costs less than a call"


def test_scores_are_chosen_by_name():
    assert chosen_scores("") == list(SCORES)
    assert chosen_scores("csd, sds") == ["csd", "sds"]
    with pytest.raises(UserError, match=r"--only sdss: no such score\. Did you mean 'sds'\?"):
        chosen_scores("sdss")


def test_each_case_is_a_run_of_its_own(tmp_path: Path):
    """All scores' settings are read by the recipe; no two cases share a folder."""
    register_parts()
    options = argparse.Namespace(
        config=ROOT / "configs" / "latent-nerf.yaml", overrides=[], quick=True, only="", work=tmp_path
    )
    runs = planned(options)
    assert len({run.folder for run in runs.values()}) == len(SCORES)
    assert "trainer.max_steps=45" in runs["sds", "mushroom", 0].overrides
    assert "trainer.max_steps=18" in runs["vsd", "mushroom", 0].overrides
    assert "trainer.max_steps=30" in runs["csd-negative", "mushroom", 0].overrides
    assert "trainer.max_steps=90" in runs["sir", "mushroom", 0].overrides
    assert "system.guidance.score=vsd" in runs["vsd", "mushroom", 0].overrides


def test_a_part_of_all_cases_compares_the_scores(tmp_path: Path):
    register_parts()
    options = argparse.Namespace(
        config=ROOT / "configs" / "latent-nerf.yaml", overrides=[], quick=False, only="sds,csd", work=tmp_path
    )
    order = list(planned(options))
    assert len(order) == 2 * 6 * 2
    assert order[:3] == [("sds", "mushroom", 0), ("csd", "mushroom", 0), ("sds", "chair", 0)]


def _measured(seed: int, azimuth: int | None, both: int, iou: float) -> Measured:
    votes = Votes(8, both, both, azimuth, [], [], [], both)
    return Measured("csd", seed, 650, 0.1 * seed, Figures(10.0, 1.0, iou, iou, 1.0, [], iou, iou, votes))


def test_a_row_is_the_mean_of_its_objects():
    found = [_measured(0, 6, 8, 0.5), _measured(1, None, 4, 0.7)]
    assert _line("csd", found) == "| csd | 650 | 12/16 | 6/8 | 0.600 | 0.050 | 10 |"


def test_the_sheet_shows_front_and_back_of_the_first_seed(tmp_path: Path):
    (prompt,) = toy_prompts("mug")
    runs = {}
    for i, score in enumerate(("sds", "csd")):
        folder = tmp_path / score
        folder.mkdir()
        shades = [np.full((16, 16, 3), (0.1 * view + 0.05 * i)) for view in range(8)]
        save_png(folder / "views.png", tiled([[torch.tensor(shade).float() for shade in shades]]))
        runs[score, "mug", 0] = BenchmarkRun(prompt, "prompt", tmp_path, (), folder)
    sheet = np.asarray(Image.open(write_sheet(tmp_path / "sheet.png", runs, ["sds", "csd"])))
    assert sheet.shape[1] == 32
    first, second = (sheet[rows].mean() for rows in (slice(14, 30), slice(44, 60)))
    assert first == pytest.approx(255 * 0.2, abs=2)
    assert second == pytest.approx(255 * 0.25, abs=2)

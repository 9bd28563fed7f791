"""The painting benchmark: its meshes, and its measure of colours against the truth itself."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from benchmarks.canonical import canonical_views
from benchmarks.paint import SUBJECTS, neutral_mesh
from benchmarks.part_colours import part_colours
from benchmarks.verdicts import judged_cameras
from toybox.captions import Subject
from toybox.scenes import build

CAMERAS = judged_cameras(64)


@pytest.mark.parametrize("subject", [Subject("car", "green"), Subject("robot", "yellow")], ids=lambda s: s.kind)
def test_the_truth_is_perfect_and_another_colour_is_as_far_as_it_is(subject: Subject):
    true, _ = canonical_views(subject, CAMERAS)
    assert true.shape == (8, 64, 64, 3)
    perfect = part_colours(subject, CAMERAS, true)
    assert perfect.main_distance == pytest.approx(0, abs=1e-6)
    assert perfect.n_fixed_right == perfect.n_fixed
    assert perfect.n_fixed >= 2
    shifted = part_colours(subject, CAMERAS, true + torch.tensor([0.1, 0.0, -0.2]))
    assert shifted.main_distance == pytest.approx((0.1**2 + 0.2**2) ** 0.5, abs=1e-5)


def test_everything_in_the_main_colour_has_no_part_right():
    subject = Subject("car", "green")
    true, parts = canonical_views(subject, CAMERAS)
    main = [i for i, part in enumerate(build("car").parts) if part.paint.removeprefix("second:") == "main"]
    of_main = torch.isin(parts, torch.tensor(main))
    flat = true[of_main].mean(dim=0).expand_as(true)
    seen = part_colours(subject, CAMERAS, flat)
    assert seen.main_distance < 0.02
    assert seen.n_fixed_right == 0


def test_parts_are_where_the_pictures_show_them():
    true, parts = canonical_views(Subject("car", "green"), CAMERAS)
    grey = (true - torch.tensor([0.5, 0.5, 0.5])).abs().amax(dim=-1) < 1e-3
    assert float((grey == (parts < 0)).float().mean()) > 0.97, "but for pixels on the outline"


def test_six_meshes_in_two_colours():
    kinds = [subject.kind for subject in SUBJECTS]
    assert len(SUBJECTS) == 12
    assert all(kinds.count(kind) == 2 for kind in kinds)
    assert len(set(SUBJECTS)) == 12


def test_the_mesh_has_no_colours(tmp_path: Path):
    mesh: Any = trimesh.load(neutral_mesh("car", tmp_path), process=False)
    np.testing.assert_allclose(mesh.vertices, build("car").mesh.vertices, atol=1e-6)
    assert not mesh.visual.defined

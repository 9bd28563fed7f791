"""The surface is turned as the sketch's is."""

from pathlib import Path

import pytest
import torch

from core.part import Choice
from core.schedule import Schedule
from systems.losses.sketch_normals import SketchNormalsLoss, normal_loss
from tests.systems.losses.small_steps import step_of
from tests.systems.small_sketch import STRICT, fitting_sketch, write_brick


def test_loss_by_hand():
    along_x, along_y = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0])
    ours, sketch = torch.stack([along_x, along_x, along_x]), torch.stack([along_x, along_y, -along_x])
    loss = normal_loss(ours, sketch, torch.tensor([0.5, 0.25, 0.25]))
    assert loss.item() == pytest.approx(0.25 * 1 + 0.25 * 2)
    assert normal_loss(ours[:0], sketch[:0], torch.zeros(0)).item() == 0


def test_it_turns_the_surface(tmp_path: Path):
    brick = write_brick(tmp_path / "brick.ply")
    normals = Choice.of(SketchNormalsLoss, **{**STRICT, "path": brick, "lenience": 0.15})
    system = fitting_sketch(brick, more={"turned": normals})
    system.set_up()
    _, loss = system.losses.parts()
    term = loss(step_of(system))
    assert 0 < term.item() < 2
    gradients = torch.autograd.grad(term, list(system.geometry.parameters()), allow_unused=True)
    assert any(bool(gradient.any()) for gradient in gradients if gradient is not None)


def test_within_the_box_and_beyond_its_lenience_it_is_silent(tmp_path: Path):
    brick = write_brick(tmp_path / "brick.ply")
    everywhere = ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))
    for silent in ({"complete_box": everywhere, "lenience": 0.15}, {"lenience": 1e-4}):
        normals = Choice.of(SketchNormalsLoss, **{**STRICT, "path": brick, **silent})
        system = fitting_sketch(brick, more={"turned": normals})
        system.set_up()
        assert system.losses.parts()[1](step_of(system)).item() == 0


def test_it_waits_for_its_weight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    brick = write_brick(tmp_path / "brick.ply")
    weight = Schedule.ramp(0.0, 1.0, 0.5, 0.9)
    normals = Choice.of(SketchNormalsLoss, **{**STRICT, "path": brick, "lenience": 0.15, "weight": weight})
    system = fitting_sketch(brick, 10, more={"turned": normals})
    system.set_up()
    of_guidance = {"sds": torch.tensor(0.0)}
    assert system.losses(of_guidance, step_of(system, 0))[1]["loss/turned"].item() == 0
    assert system.losses(of_guidance, step_of(system, 9))[1]["loss/turned"].item() > 0

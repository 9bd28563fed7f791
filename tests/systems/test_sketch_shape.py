"""Sketch-Shape: fields that follow meshes, and recipes that forget theirs."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.kinds import DensityField
from core.part import Choice
from core.schedule import Schedule
from core.settings import read_settings
from guidance.target_image import TargetImage
from systems.losses.opacity_entropy import OpacityEntropy
from systems.losses.sketch_normals import SketchNormalsLoss
from systems.sketch_shape import SketchShape
from tests.systems.small_sketch import HALF, STRICT, fitting_sketch, sketch_system, write_brick
from tests.systems.small_systems import quiet_trainer


@pytest.fixture(scope="module")
def brick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brick(tmp_path_factory.mktemp("meshes") / "brick.ply")


def _overlap(system: SketchShape) -> float:
    """Intersection over union of the brick with where the field is denser than half an occupancy of 0.2."""
    points = (torch.rand(20000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1) * 0.55
    field = system.geometry
    assert isinstance(field, DensityField)
    with torch.no_grad():
        solid = field.density(points) * 0.2 > math.log(2)
    true = (points.abs() < HALF).all(dim=-1)
    return float((solid & true).sum() / (solid | true).sum())


def test_a_field_becomes_its_sketch(brick: Path):
    system = fitting_sketch(brick, 80)
    before = _overlap(system)
    quiet_trainer(80).fit(system)
    assert before < 0.6
    assert _overlap(system) > 0.85


def test_each_loss_has_its_own_weight(brick: Path):
    normals = Choice.of(SketchNormalsLoss, **{**STRICT, "path": brick, "weight": Schedule.constant(3.0)})
    system = fitting_sketch(brick, 10, sds=1.0, more={"turned": normals}, weight=Schedule.ramp(4.0, 8.0))
    system.set_up()
    outputs = system.training_step(0, 0)
    numbers = outputs["numbers"]
    expected = numbers["loss/sds"] + 4 * numbers["loss/sketch"] + 3 * numbers["loss/turned"]
    torch.testing.assert_close(outputs["loss"].detach(), expected)


def test_without_a_sketch_it_says_how_to_give_one(brick: Path):
    losses: dict[str, Any] = {"sparsity": Choice.of(OpacityEntropy)}
    with pytest.raises(UserError, match=r"^losses\.sketch: missing; 'sketch-shape' follows a mesh: {type: sketch-"):
        sketch_system(losses, Choice.of(TargetImage, size=16))


def test_an_old_recipes_sketch_is_told_its_new_place():
    with pytest.raises(UserError, match=r"sketch: no such setting.*Say losses: {sketch: {type: sketch-shape, path"):
        read_settings(SketchShape.Config, {"sketch": {"path": "a.obj"}})

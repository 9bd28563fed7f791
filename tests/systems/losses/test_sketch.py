"""What losses that follow a sketch share: how strictly, where not, and which parts they fit."""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from core.chance import stream
from core.errors import UserError
from core.kinds import Geometry
from core.part import Choice
from core.schedule import Schedule
from core.settings import read_settings
from guidance.target_image import TargetImage
from renderers.volume import VolumeRenderer
from systems.losses.sketch import SketchLoss, distance_weight
from systems.losses.sketch_normals import SketchNormalsLoss
from systems.losses.sketch_shape import SketchShapeLoss
from systems.sketch_shape import SketchShape
from tests.systems.losses.small_steps import step_of, with_free_density
from tests.systems.small_sketch import HALF, STRICT, fitting_sketch, sketch_system, write_brick


@pytest.fixture(scope="module")
def brick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brick(tmp_path_factory.mktemp("meshes") / "brick.ply")


def test_strictness_by_hand():
    distance = torch.tensor([0.0, 0.1, 0.2, 5.0])
    expected = [0.0, 1 - math.exp(-0.5), 1 - math.exp(-2), 1.0]
    assert distance_weight(distance, 0.1).tolist() == pytest.approx(expected)
    # Far more lenient than far away: d^2 / (2 lenience^2), which 1 - exp would round to nothing in float32.
    assert distance_weight(torch.tensor([0.1]), 1e3).item() == pytest.approx(5e-9, rel=1e-4)


def test_steps_look_at_other_samples_in_turn_and_at_all_of_them_together(brick: Path):
    system, whole = (fitting_sketch(brick, sample_stride=stride) for stride in (3, 1))
    for each in (system, whole):
        each.set_up()
    now, density = with_free_density(step_of(system))

    def gradient(of: Any, step: int) -> torch.Tensor:
        (loss,) = of.losses.parts()
        return torch.autograd.grad(loss(replace(now, step=step)), density)[0]

    seen = [gradient(system, step) for step in range(4)]
    assert torch.equal(seen[0], seen[3])
    assert torch.allclose(sum(seen[:3], torch.zeros_like(density)) / 3, gradient(whole, 0), rtol=1e-3, atol=1e-9)


def test_within_the_box_the_sketch_is_silent(brick: Path):
    system = fitting_sketch(brick, sample_stride=1, complete_box=((0.0, -1.0, -1.0), (1.0, 1.0, 1.0)))
    system.set_up()
    now, density = with_free_density(step_of(system))
    (loss,) = system.losses.parts()
    (gradient,) = torch.autograd.grad(loss(now), density)
    assert now.render.samples is not None
    silent = now.render.samples.positions[:, 0] > 0
    assert not bool(gradient[silent].any())
    assert float((gradient[~silent] != 0).float().mean()) > 0.95


def test_cells_of_the_sketch_are_always_occupied(brick: Path):
    system = fitting_sketch(brick, 10)
    renderer = system.renderer
    assert isinstance(renderer, VolumeRenderer)
    system.geometry.requires_grad_(False)
    for parameter in system.geometry.parameters():
        parameter.zero_()
    for step in (2, 4, 6, 8):  # the grid's looks at a field without anything
        renderer.refresh(system.geometry, step, stream(0, "training", step))
    points = (torch.rand(2000, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1) * 0.55
    assert bool(renderer.occupancy.contains(points[(points.abs() < HALF).all(dim=-1)]).all())
    corner = torch.tensor([[-0.5, 0.5, 0.5]])
    assert not bool(renderer.occupancy.contains(corner).any())


def test_two_sketches_are_both_always_seen(brick: Path, tmp_path: Path):
    """The second one's cells come to the first one's, not in their place."""
    moved = Choice.of(SketchShapeLoss, **{**STRICT, "center": "none", "path": brick, "rotation_deg": (0.0, 90.0, 0.0)})
    system = fitting_sketch(brick, more={"turned": moved})
    assert isinstance(system.renderer, VolumeRenderer)
    forced = system.renderer.occupancy.forced
    (alone,) = fitting_sketch(brick).losses.parts()
    assert isinstance(alone, SketchLoss)
    grid = system.renderer.occupancy
    cells = alone.sketch.touched_cells(grid.bound, grid.resolution)
    turned = cells.transpose(0, 2)
    assert bool((forced == (forced | cells | turned)).all())
    assert bool((turned & ~cells).any())


def test_checkpoints_hold_no_tables(brick: Path):
    assert not [name for name in fitting_sketch(brick).state_dict() if name.startswith("losses")]


def test_a_geometry_without_density_is_refused_by_name(brick: Path, registry: None):
    class Sheet(Geometry, name="sheet"):
        @dataclass(frozen=True)
        class Config:
            pass

        def __init__(self, config: Config, n_channels: int) -> None:
            super().__init__()
            self.n_channels = n_channels

    class Anything(VolumeRenderer, name="anything"):
        Config = VolumeRenderer.Config

        def __init__(self, config: VolumeRenderer.Config, geometry: Geometry) -> None:
            torch.nn.Module.__init__(self)

    shape = Choice(SketchShapeLoss, SketchShapeLoss.Config(**STRICT, path=brick), "system.losses.sketch")
    with pytest.raises(UserError, match=r"^system\.losses\.sketch: 'sheet' has no density .*; use hash-grid"):
        sketch_system(
            {"sketch": shape},
            Choice.of(TargetImage, size=16),
            geometry=Choice.of(Sheet),
            renderer=Choice.of(Anything),
        )
    with pytest.raises(UserError, match=r"geometry\.type: 'sheet' is no DensityField\. Valid: hash-grid"):
        read_settings(SketchShape.Config, {"geometry": {"type": "sheet"}})


SHARED = [
    ({}, "path: missing"),
    ({"path": "a.obj", "lenience": 0}, "lenience: above 0, got 0"),
    ({"path": "a.obj", "weight": -1}, "weight: at least 0, got -1"),
    ({"path": "a.obj", "weight": {"start": 1, "end": -2}}, "weight: at least 0, got -2"),
    ({"path": "a.obj", "sample_stride": 0}, "sample_stride: at least 1, got 0"),
    ({"path": "a.obj", "scale": -0.5}, "scale: above 0, or none, got -0.5"),
    ({"path": "a.obj", "scale": "big"}, "scale: expected a number, got 'big'"),
    ({"path": "a.obj", "center": "mass"}, "center: 'mass' is not valid"),
    ({"path": "a.obj", "complete_box": [[0, 0, 0], [1, 0, 1]]}, "complete_box: the first corner has the smaller"),
    ({"path": "a.obj", "leniency": 0.1}, "Did you mean 'lenience'?"),
]


@pytest.mark.parametrize(("settings", "complaint"), SHARED)
@pytest.mark.parametrize("loss", [SketchShapeLoss, SketchNormalsLoss])
def test_nonsense_is_refused(loss: type[SketchLoss], settings: dict[str, Any], complaint: str):
    with pytest.raises(UserError) as caught:
        read_settings(loss.Config, settings)
    assert complaint in str(caught.value)


def test_the_weight_of_normals_is_told_its_new_place():
    with pytest.raises(UserError, match=r"normal_weight: no such setting.*Say a loss of its own, \{type: sketch-norm"):
        read_settings(SketchShapeLoss.Config, {"path": "a.obj", "normal_weight": 1})


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.obj: no such file"):
        fitting_sketch(tmp_path / "none.obj")


def test_settings_as_recipes_write_them():
    box = [[0, 0, 0], [1, 1, 1]]
    read: Any = read_settings(
        SketchShapeLoss.Config, {"path": "a.obj", "scale": "none", "complete_box": box, "weight": 3}
    )
    assert (read.path, read.scale, read.weight) == (Path("a.obj"), "none", Schedule.constant(3.0))
    assert read.complete_box == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

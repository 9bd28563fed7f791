"""Sketch-Shape: its loss by hand, and fields that follow meshes."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import trimesh
from torch import Tensor

from core.errors import UserError
from core.kinds import DensityField, Geometry
from core.part import Choice
from core.schedule import Schedule
from core.settings import read_settings
from core.types import RenderOutput
from guidance.latent_sds import LatentSDS
from guidance.target_image import TargetImage
from renderers.volume import VolumeRenderer
from systems.latent_nerf import Losses
from systems.random_streams import stream
from systems.sketch_shape import SketchSettings, SketchShape, distance_weight, normal_loss, shape_loss
from systems.views import random_views
from tests.systems.small_systems import ball_pictures, quiet_trainer, small_config

HALF = torch.tensor([0.42, 0.2, 0.2])  # the sketch: a brick


@pytest.fixture(scope="module")
def brick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("meshes") / "brick.ply"
    trimesh.creation.box(extents=2 * HALF.numpy()).export(path)
    return path


def _system(brick: Path, guidance: Choice, total_steps: int = 6, parts: Any = (), **sketch: Any) -> SketchShape:
    settings: dict[str, Any] = {"path": brick, "center": "none", "scale": "none", "lenience": 0.05, **sketch}
    small = {f.name: getattr(small_config(guidance), f.name) for f in dataclasses.fields(small_config(guidance))}
    config = SketchShape.Config(**{**small, **dict(parts), "sketch": SketchSettings(**settings)})
    return SketchShape(config, "a brick", seed=0, total_steps=total_steps)


def _fitting(brick: Path, total_steps: int, sds: float = 0.0, **sketch: Any) -> SketchShape:
    losses = Losses(sds=Schedule.constant(sds), sparsity=Schedule.constant(0.0))
    system = _system(brick, Choice.of(TargetImage, size=16), total_steps, {"losses": losses}.items(), **sketch)
    assert isinstance(system.guidance, TargetImage)
    system.guidance.set_target(ball_pictures)
    return system


def _points(n: int) -> Tensor:
    return (torch.rand(n, 3, generator=torch.Generator().manual_seed(0)) * 2 - 1) * 0.55


def _overlap(system: SketchShape) -> float:
    """Intersection over union of the brick with where the field is denser than half an occupancy of 0.2."""
    points, field = _points(20000), system.geometry
    assert isinstance(field, DensityField)
    with torch.no_grad():
        solid = field.density(points) * 0.2 > math.log(2)
    true = (points.abs() < HALF).all(dim=-1)
    return float((solid & true).sum() / (solid | true).sum())


def test_loss_by_hand():
    # delta x density = ln 2 makes the occupancy 1/2: one bit either way; ln 4 makes it 3/4.
    density = torch.tensor([math.log(2), math.log(2), math.log(4), math.log(4)]) / 0.2
    occupied = torch.tensor([True, False, True, False])
    ones = torch.ones(4)
    expected = (math.log(2) + math.log(2) + math.log(4 / 3) + math.log(4)) / 4
    assert shape_loss(density, occupied, ones, 0.2).item() == pytest.approx(expected, rel=1e-5)
    strictness = torch.tensor([1.0, 0.5, 0.0, 0.25])
    expected = (math.log(2) + 0.5 * math.log(2) + 0.25 * math.log(4)) / 4
    assert shape_loss(density, occupied, strictness, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_loss_is_the_cross_entropy_of_occupancies():
    density = torch.rand(100, generator=torch.Generator().manual_seed(0)) * 20 + 0.1
    occupied = torch.arange(100) % 3 == 0
    occupancy = 1 - torch.exp(-0.2 * density.double())
    truth = torch.nn.functional.binary_cross_entropy(occupancy, occupied.double())
    assert shape_loss(density, occupied, torch.ones(100), 0.2).item() == pytest.approx(truth.item(), rel=1e-4)


@pytest.mark.parametrize("exponent", [-9.0, -5.0, 0.0, 5.0, 14.0])
def test_gradient_is_there_where_the_field_is_wrong(exponent: float):
    """By the density's exponent: near -1 in an empty sample that should be solid, delta x density in a dense one that
    should be empty. A clamp of the occupancy, as published, has no gradient at either end."""
    for occupied in (True, False):
        x = torch.tensor([exponent], requires_grad=True)
        (gradient,) = torch.autograd.grad(shape_loss(x.exp(), torch.tensor([occupied]), torch.ones(1), 0.2), x)
        depth = 0.2 * math.exp(exponent)
        expected = -depth / math.expm1(depth) if occupied and depth < 700 else 0.0 if occupied else depth
        assert gradient.item() == pytest.approx(expected, rel=0.01, abs=1e-9)


def test_loss_is_finite_at_both_ends():
    density = torch.tensor([0.0, 0.0, 3e6, 3e6], requires_grad=True)
    loss = shape_loss(density, torch.tensor([True, False, True, False]), torch.ones(4), 0.2)
    (gradient,) = torch.autograd.grad(loss, density)
    assert bool(loss.isfinite())
    assert bool(gradient.isfinite().all())


def test_loss_is_float32_of_half_precision_densities():
    loss = shape_loss(torch.ones(2, dtype=torch.float16), torch.tensor([True, False]), torch.ones(2), 0.2)
    assert loss.dtype == torch.float32


def test_no_samples_cost_nothing():
    empty = torch.zeros(0)
    assert shape_loss(empty, empty > 0, empty, 0.2).item() == 0


def test_strictness_by_hand():
    distance = torch.tensor([0.0, 0.1, 0.2, 5.0])
    expected = [0.0, 1 - math.exp(-0.5), 1 - math.exp(-2), 1.0]
    assert distance_weight(distance, 0.1).tolist() == pytest.approx(expected)
    # Far more lenient than far away: d^2 / (2 lenience^2), which 1 - exp would round to nothing in float32.
    assert distance_weight(torch.tensor([0.1]), 1e3).item() == pytest.approx(5e-9, rel=1e-4)


def test_normal_loss_by_hand():
    along_x, along_y = torch.tensor([1.0, 0, 0]), torch.tensor([0.0, 1, 0])
    ours, sketch = torch.stack([along_x, along_x, along_x]), torch.stack([along_x, along_y, -along_x])
    loss = normal_loss(ours, sketch, torch.tensor([0.5, 0.25, 0.25]))
    assert loss.item() == pytest.approx(0.25 * 1 + 0.25 * 2)
    assert normal_loss(ours[:0], sketch[:0], torch.zeros(0)).item() == 0


def _shape_loss_and_gradient(system: SketchShape) -> tuple[float, float]:
    system.prepare()
    rng = stream(0, "training", 0)
    terms, _ = system.losses(random_views(system.views, 16, rng), 0, rng)
    gradients = torch.autograd.grad(terms["shape"], list(system.geometry.parameters()), allow_unused=True)
    return terms["shape"].item(), float(torch.cat([g.flatten() for g in gradients if g is not None]).norm())


def test_a_lenient_sketch_says_nothing(brick: Path):
    strict = _shape_loss_and_gradient(_fitting(brick, 6, lenience=0.05))
    lenient = _shape_loss_and_gradient(_fitting(brick, 6, lenience=1e3))
    assert 0 < lenient[0] < 1e-5 * strict[0]
    assert 0 < lenient[1] < 1e-5 * strict[1]


def test_a_field_becomes_its_sketch(brick: Path):
    system = _fitting(brick, 80)
    before = _overlap(system)
    quiet_trainer(80).fit(system)
    assert before < 0.6
    assert _overlap(system) > 0.85


def _rendered(system: SketchShape) -> tuple[RenderOutput, torch.Tensor]:
    """A step's rendering, and its samples' density, by which a loss can be differentiated."""
    system.prepare()
    rng = stream(0, "training", 0)
    render = system.renderer(system.geometry, system.background, random_views(system.views, 16, rng), rng)
    assert render.samples is not None
    density = render.samples.density.detach().requires_grad_()
    return dataclasses.replace(render, samples=dataclasses.replace(render.samples, density=density)), density


def test_steps_look_at_other_samples_in_turn_and_at_all_of_them_together(brick: Path):
    system = _fitting(brick, 6, sample_stride=3)
    render, density = _rendered(system)
    seen = [torch.autograd.grad(system.sketch_losses(render, step)["shape"], density)[0] for step in range(4)]
    assert torch.equal(seen[0], seen[3])
    whole = _fitting(brick, 6, sample_stride=1)
    whole.prepare()
    (all_at_once,) = torch.autograd.grad(whole.sketch_losses(render, 0)["shape"], density)
    assert torch.allclose(sum(seen[:3], torch.zeros_like(density)) / 3, all_at_once, rtol=1e-3, atol=1e-9)


def test_within_the_box_the_sketch_is_silent(brick: Path):
    system = _fitting(brick, 6, sample_stride=1, complete_box=((0.0, -1.0, -1.0), (1.0, 1.0, 1.0)))
    render, density = _rendered(system)
    assert render.samples is not None
    (gradient,) = torch.autograd.grad(system.sketch_losses(render, 0)["shape"], density)
    silent = render.samples.positions[:, 0] > 0
    assert not bool(gradient[silent].any())
    assert float((gradient[~silent] != 0).float().mean()) > 0.95


def test_the_normal_term_turns_the_surface(brick: Path):
    system = _fitting(brick, 6, normal_weight=Schedule.constant(1.0), lenience=0.15)
    system.prepare()
    rng = stream(0, "training", 0)
    terms, _ = system.losses(random_views(system.views, 16, rng), 0, rng)
    assert 0 < terms["normal"].item() < 2
    gradients = torch.autograd.grad(terms["normal"], list(system.geometry.parameters()), allow_unused=True)
    assert any(bool(gradient.any()) for gradient in gradients if gradient is not None)


def test_the_normal_term_waits_for_its_weight(brick: Path):
    system = _fitting(brick, 10, normal_weight=Schedule.ramp(0.0, 1.0, 0.5, 0.9))
    system.prepare()
    rng = stream(0, "training", 0)
    cameras = random_views(system.views, 16, rng)
    assert "normal" not in system.losses(cameras, 0, rng)[0]
    assert "normal" in system.losses(cameras, 9, rng)[0]


def test_weights_stand_with_the_sketch(brick: Path):
    system = _fitting(brick, 10, sds=1.0, weight=Schedule.ramp(4.0, 8.0), normal_weight=Schedule.constant(3.0))
    weights = {name: system.weight(name, 5) for name in ("sds", "sparsity", "shape", "normal")}
    assert weights == {"sds": 1.0, "sparsity": 0.0, "shape": 6.0, "normal": 3.0}
    system.prepare()
    outputs = system.training_step(0, 0)
    numbers = outputs["numbers"]
    expected = numbers["loss/sds"] + 4 * numbers["loss/shape"] + 3 * numbers["loss/normal"]
    torch.testing.assert_close(outputs["loss"].detach(), expected)


def test_cells_of_the_sketch_are_always_occupied(brick: Path):
    system = _fitting(brick, 10)
    renderer = system.renderer
    assert isinstance(renderer, VolumeRenderer)
    system.geometry.requires_grad_(False)
    for parameter in system.geometry.parameters():
        parameter.zero_()
    for step in (2, 4, 6, 8):  # the grid's looks at a field without anything
        renderer.prepare(system.geometry, step, stream(0, "training", step))
    inside = _points(2000)[(_points(2000).abs() < HALF).all(dim=-1)]
    assert bool(renderer.occupancy.contains(inside).all())
    corner = torch.tensor([[-0.5, 0.5, 0.5]])
    assert not bool(renderer.occupancy.contains(corner).any())


def test_checkpoints_hold_no_tables(brick: Path):
    system = _fitting(brick, 10)
    assert not [name for name in system.state_dict() if name.startswith("sketch")]


def _share_of_shape(system: SketchShape, autocast: bool) -> float:
    system.prepare()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        rng = stream(0, "training", 0)
        terms, _ = system.losses(random_views(system.views, 8, rng), 3, rng)
    parameters = list(system.geometry.parameters())
    norms = [
        torch.cat(
            [g.flatten() for g in torch.autograd.grad(term, parameters, retain_graph=True, materialize_grads=True)]
        )
        for term in (terms["shape"], terms["sds"])
    ]
    return float(norms[0].norm() / norms[1].norm())


def test_shape_and_guidance_keep_their_ratio_in_mixed_precision(tiny_model: Callable[..., Path], brick: Path):
    guidance = Choice.of(LatentSDS, model=str(tiny_model("v_prediction")))
    plain = _share_of_shape(_system(brick, guidance), autocast=False)
    assert _share_of_shape(_system(brick, guidance), autocast=True) == pytest.approx(plain, rel=0.1)


def test_a_geometry_without_density_is_refused_by_name(brick: Path, registry: None):
    class Sheet(Geometry, name="sheet"):
        @dataclasses.dataclass(frozen=True)
        class Config:
            pass

        def __init__(self, config: Config, n_channels: int) -> None:
            super().__init__()
            self.n_channels = n_channels

    class Anything(VolumeRenderer, name="anything"):
        Config = VolumeRenderer.Config

        def __init__(self, config: VolumeRenderer.Config, geometry: Geometry) -> None:
            torch.nn.Module.__init__(self)

    parts = {"geometry": Choice.of(Sheet), "renderer": Choice.of(Anything)}
    complaint = "system.geometry: 'sheet' has no density that could follow a sketch; use hash-grid"
    with pytest.raises(UserError, match=complaint):
        _system(brick, Choice.of(TargetImage, size=16), parts=parts.items())
    with pytest.raises(UserError, match=r"geometry\.type: 'sheet' is no DensityField\. Valid: hash-grid"):
        read_settings(SketchShape.Config, {"geometry": {"type": "sheet"}})


def test_a_renderer_without_samples_is_named(brick: Path):
    system = _fitting(brick, 6)
    flat, picture = torch.zeros(1, 2, 2), torch.zeros(1, 2, 2, 3)
    with pytest.raises(UserError, match=r"system\.renderer: 'volume' gives no samples"):
        system.sketch_losses(RenderOutput(picture, flat, flat, None, picture, None), 0)


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({}, "path: missing"),
        ({"path": "a.obj", "lenience": 0}, "lenience: above 0, got 0"),
        ({"path": "a.obj", "delta": -0.2}, "delta: above 0, got -0.2"),
        ({"path": "a.obj", "weight": -1}, "weight: at least 0, got -1"),
        ({"path": "a.obj", "normal_weight": {"start": 1, "end": -2}}, "normal_weight: at least 0, got -2"),
        ({"path": "a.obj", "scale": -0.5}, "scale: above 0, or none, got -0.5"),
        ({"path": "a.obj", "scale": "big"}, "scale: expected a number, got 'big'"),
        ({"path": "a.obj", "center": "mass"}, "center: 'mass' is not valid"),
        ({"path": "a.obj", "complete_box": [[0, 0, 0], [1, 0, 1]]}, "complete_box: the first corner has the smaller"),
        ({"path": "a.obj", "leniency": 0.1}, "no such setting of SketchSettings. Did you mean 'lenience'?"),
    ],
)
def test_nonsense_is_refused(settings: dict[str, Any], complaint: str):
    with pytest.raises(UserError) as caught:
        read_settings(SketchSettings, settings)
    assert complaint in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"none\.obj: no such file"):
        _fitting(tmp_path / "none.obj", 6)


def test_settings_as_recipes_write_them():
    read = read_settings(
        SketchSettings, {"path": "a.obj", "scale": "none", "complete_box": [[0, 0, 0], [1, 1, 1]], "weight": 3}
    )
    assert (read.path, read.scale, read.weight) == (Path("a.obj"), "none", Schedule.constant(3.0))
    assert read.complete_box == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

"""The cross-entropy of occupancies by hand, and how it goes with guidance."""

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.chance import stream
from core.errors import UserError
from core.part import Choice
from core.settings import read_settings
from guidance.latent_sds import LatentSDS
from systems.losses.sketch_shape import SketchShapeLoss, shape_loss
from systems.sketch_shape import SketchShape
from tests.systems.losses.small_steps import step_of
from tests.systems.small_sketch import STRICT, fitting_sketch, sketch_system, write_brick


@pytest.fixture(scope="module")
def brick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_brick(tmp_path_factory.mktemp("meshes") / "brick.ply")


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


def _loss_and_gradient(system: SketchShape) -> tuple[float, float]:
    system.set_up()
    (loss,) = system.losses.parts()
    term = loss(step_of(system))
    gradients = torch.autograd.grad(term, list(system.geometry.parameters()), allow_unused=True)
    return term.item(), float(torch.cat([g.flatten() for g in gradients if g is not None]).norm())


def test_a_lenient_sketch_says_nothing(brick: Path):
    strict = _loss_and_gradient(fitting_sketch(brick, lenience=0.05))
    lenient = _loss_and_gradient(fitting_sketch(brick, lenience=1e3))
    assert 0 < lenient[0] < 1e-5 * strict[0]
    assert 0 < lenient[1] < 1e-5 * strict[1]


def _share_of_shape(system: SketchShape, autocast: bool) -> float:
    system.set_up()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        now = step_of(system, 3)
        guidance = system.guidance(now.render, now.cameras, 3, 6, stream(0, "noise", 3))
        terms = [loss(now) for loss in system.losses.parts()] + [guidance.loss]
    parameters = list(system.geometry.parameters())
    norms = [
        torch.cat(
            [g.flatten() for g in torch.autograd.grad(term, parameters, retain_graph=True, materialize_grads=True)]
        )
        for term in terms
    ]
    return float(norms[0].norm() / norms[1].norm())


def test_shape_and_guidance_keep_their_ratio_in_mixed_precision(tiny_model: Callable[..., Path], brick: Path):
    guidance = Choice.of(LatentSDS, model=str(tiny_model("v_prediction")))
    shape = {"sketch": Choice.of(SketchShapeLoss, **STRICT, path=brick)}
    plain = _share_of_shape(sketch_system(shape, guidance), autocast=False)
    assert _share_of_shape(sketch_system(shape, guidance), autocast=True) == pytest.approx(plain, rel=0.1)


def test_a_length_below_0_is_refused():
    with pytest.raises(UserError, match=r"delta: above 0, got -0\.2"):
        read_settings(SketchShapeLoss.Config, {"path": "a.obj", "delta": -0.2})

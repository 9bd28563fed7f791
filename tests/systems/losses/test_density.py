"""What no picture asks for is emptied: the penalty by hand, which views count, and a ball that becomes hollow."""

import math
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.kinds import DensityField
from core.part import Choice
from core.schedule import Schedule
from systems.losses.density import DensityPenalty, density_penalty
from systems.losses.opacity_entropy import OpacityEntropy
from tests.systems.losses.small_steps import cameras_at, step_of, with_free_density
from tests.systems.small_systems import BALL_RADIUS, ball_pictures, fitting_system, quiet_trainer


def _all(density: torch.Tensor) -> torch.Tensor:
    return torch.ones(len(density), dtype=torch.bool)


def test_penalty_by_hand():
    density = torch.tensor([0.0, 1.0, 10.0])
    assert density_penalty(density, _all(density)).item() == pytest.approx((math.log(3) + math.log(201)) / 3)
    assert density_penalty(density, torch.tensor([True, True, False])).item() == pytest.approx(math.log(3) / 3)
    assert density_penalty(torch.zeros(0), _all(torch.zeros(0))).item() == 0


def test_it_empties_the_dense_as_well_as_the_faint():
    """Its derivative by log density tends to the same, 2, for all that is dense."""
    exponent = torch.tensor([2.0, 5.0, 14.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(density_penalty(exponent.exp(), _all(exponent)), exponent)
    torch.testing.assert_close(3 * gradient, torch.full((3,), 2.0), rtol=2e-2, atol=0)
    huge = torch.tensor([3e6], dtype=torch.bfloat16)
    assert density_penalty(huge, _all(huge)).item() == pytest.approx(math.log(2 * 9e12), rel=1e-3)


def test_density_is_penalised_where_high_views_look():
    losses = {"hollow": Choice.of(DensityPenalty, min_elevation_deg=50.0)}
    system = fitting_system(total_steps=4, losses=losses)
    system.set_up()
    now, density = with_free_density(step_of(system, cameras=cameras_at([-40.0, 49.0, 51.0])))
    (loss,) = system.losses.parts()
    (gradient,) = torch.autograd.grad(loss(now), density)
    assert now.render.samples is not None
    view = now.render.samples.ray_index // 64
    assert not bool(gradient[view < 2].any())
    assert bool((gradient[view == 2] > 0).any())


def test_an_elevation_that_no_view_has_is_refused():
    with pytest.raises(UserError, match="min_elevation_deg: from -90 to 90, got 95"):
        DensityPenalty.Config(min_elevation_deg=95.0)


def test_what_no_picture_asks_for_becomes_hollow():
    """Guided by pictures of a ball: with the penalty, its middle is emptied, and its views stay."""
    fields = []
    for weight in (0.0, 0.02):
        losses: dict[str, Any] = {
            "sparsity": Choice.of(OpacityEntropy, weight=Schedule.constant(0.01)),
            "hollow": Choice.of(DensityPenalty, weight=Schedule.constant(weight), min_elevation_deg=-90.0),
        }
        system = fitting_system(total_steps=120, losses=losses)
        quiet_trainer(120).fit(system)
        cameras = system.surrounding_cameras(6, 16)
        error = float((system.render(cameras).latents - ball_pictures(cameras)).square().mean())
        assert error < 0.1 * float((1 - ball_pictures(cameras)).square().mean())
        field = system.geometry
        assert isinstance(field, DensityField)
        middle = 0.1 * BALL_RADIUS * torch.randn(500, 3, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            fields.append(float(field.density(middle).median()))
    assert fields[1] < 0.1 * fields[0]

"""Latent-NeRF: its own loss term, its weights under mixed precision, and a real fit in 3D."""

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.cameras import orbit_cameras
from core.errors import UserError
from core.kinds import DensityField
from core.schedule import Schedule
from systems.latent_nerf import LatentNeRF, Losses, density_penalty, opacity_entropy
from systems.random_streams import stream
from systems.views import random_views
from tests.systems.small_systems import BALL_RADIUS, ball_pictures, distilling_system, fitting_system, quiet_trainer


def test_entropy_by_hand():
    assert opacity_entropy(torch.tensor([0.5])).item() == 1
    expected = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert opacity_entropy(torch.tensor([0.25, 0.75])).item() == pytest.approx(expected)
    assert opacity_entropy(torch.tensor([0.0, 1.0])).item() == pytest.approx(0, abs=2e-4)


def test_entropy_has_a_finite_gradient_everywhere():
    opacity = torch.tensor([0.0, 1e-6, 0.5, 1.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(opacity_entropy(opacity), opacity)
    assert bool(gradient.isfinite().all())


def test_entropy_is_float32_of_half_precision_opacity():
    assert opacity_entropy(torch.tensor([1.0], dtype=torch.bfloat16)).dtype == torch.float32


def _all(density: torch.Tensor) -> torch.Tensor:
    return torch.ones(len(density), dtype=torch.bool)


def test_density_penalty_by_hand():
    density = torch.tensor([0.0, 1.0, 10.0])
    assert density_penalty(density, _all(density)).item() == pytest.approx((math.log(3) + math.log(201)) / 3)
    assert density_penalty(density, torch.tensor([True, True, False])).item() == pytest.approx(math.log(3) / 3)
    assert density_penalty(torch.zeros(0), _all(torch.zeros(0))).item() == 0


def test_density_penalty_empties_the_dense_as_well_as_the_faint():
    """Its derivative by log density tends to the same, 2, for all that is dense."""
    exponent = torch.tensor([2.0, 5.0, 14.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(density_penalty(exponent.exp(), _all(exponent)), exponent)
    torch.testing.assert_close(3 * gradient, torch.full((3,), 2.0), rtol=2e-2, atol=0)
    huge = torch.tensor([3e6], dtype=torch.bfloat16)
    assert density_penalty(huge, _all(huge)).item() == pytest.approx(math.log(2 * 9e12), rel=1e-3)


def test_density_is_penalised_where_high_views_look():
    losses = Losses(density=Schedule.constant(0.02), density_from_deg=50.0)
    system = fitting_system(total_steps=4, losses=losses)
    system.prepare()
    elevation = torch.tensor([-40.0, 49.0, 51.0])
    same = torch.ones(3)
    cameras = orbit_cameras(elevation, 90 * same, 1.5 * same, 45 * same, 8, 8)
    render = system.renderer(system.geometry, system.background, cameras, stream(0, "training", 0))
    assert render.samples is not None
    density = render.samples.density.detach().requires_grad_()
    free = dataclasses.replace(render, samples=dataclasses.replace(render.samples, density=density))
    (gradient,) = torch.autograd.grad(system.shape_terms(free, cameras)["density"], density)
    view = render.samples.ray_index // 64
    assert not bool(gradient[view < 2].any())
    assert bool((gradient[view == 2] > 0).any())


def test_an_elevation_that_no_view_has_is_refused():
    with pytest.raises(UserError, match="density_from_deg: from -90 to 90, got 95"):
        Losses(density_from_deg=95.0)


def test_what_no_picture_asks_for_becomes_hollow():
    """Guided by pictures of a ball: with the penalty, its middle is emptied, and its views stay."""
    fields = []
    for weight in (0.0, 0.02):
        losses = Losses(sparsity=Schedule.constant(0.01), density=Schedule.constant(weight), density_from_deg=-90.0)
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


def _share_of_sparsity(system: LatentNeRF, autocast: bool) -> float:
    """Norm of the sparsity term's gradient over that of guidance, in the field's parameters."""
    system.prepare()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        rng = stream(0, "training", 0)
        cameras = random_views(system.views, 8, rng)
        terms, _ = system.losses(cameras, 3, rng)
    parameters = list(system.geometry.parameters())
    norms = [
        torch.cat([g.flatten() for g in torch.autograd.grad(term, parameters, retain_graph=True)])
        for term in (terms["sparsity"], terms["sds"])
    ]
    return float(norms[0].norm() / norms[1].norm())


def test_loss_terms_keep_their_ratio_in_mixed_precision(tiny_model: Callable[..., Path]):
    plain = _share_of_sparsity(distilling_system(tiny_model("v_prediction")), autocast=False)
    mixed = _share_of_sparsity(distilling_system(tiny_model("v_prediction")), autocast=True)
    assert mixed == pytest.approx(plain, rel=0.1)


def test_weights_are_those_of_the_recipe(tiny_model: Callable[..., Path]):
    system = distilling_system(tiny_model())
    system.prepare()
    outputs = system.training_step(0, 0)
    numbers = outputs["numbers"]
    torch.testing.assert_close(outputs["loss"].detach(), numbers["loss/sds"] + 0.01 * numbers["loss/sparsity"])


def test_training_in_mixed_precision_stays_finite(tiny_model: Callable[..., Path]):
    system = distilling_system(tiny_model())
    quiet_trainer(3, precision="bf16-mixed").fit(system)
    assert all(bool(parameter.isfinite().all()) for parameter in system.parameters())


def test_known_pictures_of_a_ball_become_a_ball():
    """The whole way but for the network: views, field, renderer, exact score, optimiser."""
    system = fitting_system(total_steps=120)
    quiet_trainer(120).fit(system)
    cameras = system.surrounding_cameras(6, 16)  # other views than it was trained with
    seen = system.render(cameras)
    expected = ball_pictures(cameras)
    # A twentieth of what a picture of the background alone would leave (pixels on the edge are points to the renderer
    # and areas to the target).
    background_alone = float((1 - expected).square().mean())
    assert float((seen.latents - expected).square().mean()) < 0.05 * background_alone
    anywhere = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    on_sphere = torch.nn.functional.normalize(anywhere, dim=-1)
    field = system.geometry
    assert isinstance(field, DensityField)
    with torch.no_grad():
        inside, outside = (float(field.density(share * BALL_RADIUS * on_sphere).median()) for share in (0.8, 1.3))
    assert inside > 20 * outside

"""Latent-NeRF: its terms under mixed precision, and a real fit in 3D."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.chance import stream
from core.kinds import DensityField
from systems.latent_nerf import LatentNeRF
from tests.systems.losses.small_steps import step_of
from tests.systems.small_systems import BALL_RADIUS, ball_pictures, distilling_system, fitting_system, quiet_trainer


def _share_of_sparsity(system: LatentNeRF, autocast: bool) -> float:
    """Norm of the sparsity term's gradient over that of guidance, in the field's parameters."""
    system.set_up()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        now = step_of(system, 3)
        (sparsity,) = system.losses.parts()
        terms = sparsity(now), system.guidance(now.render, now.cameras, 3, 6, stream(0, "noise", 3)).loss
    parameters = list(system.geometry.parameters())
    norms = [
        torch.cat([g.flatten() for g in torch.autograd.grad(term, parameters, retain_graph=True)]) for term in terms
    ]
    return float(norms[0].norm() / norms[1].norm())


def test_loss_terms_keep_their_ratio_in_mixed_precision(tiny_model: Callable[..., Path]):
    plain = _share_of_sparsity(distilling_system(tiny_model("v_prediction")), autocast=False)
    mixed = _share_of_sparsity(distilling_system(tiny_model("v_prediction")), autocast=True)
    assert mixed == pytest.approx(plain, rel=0.1)


def test_weights_are_those_of_the_recipe(tiny_model: Callable[..., Path]):
    system = distilling_system(tiny_model())
    system.set_up()
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

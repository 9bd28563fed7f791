"""Squares keep the mean colours that a refining stage began with."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from core.chance import stream
from core.errors import UserError
from core.part import Choice
from core.schedule import Schedule
from geometry.rgb_field import RGBField
from guidance.rgb import RGBGuidance
from guidance.target_image import TargetImage
from systems.checkpoint_files import CHECKPOINT
from systems.checkpoints import Checkpoints
from systems.latent_nerf import LatentNeRF
from systems.latent_nerf_rgb import LatentNeRFRGB
from systems.losses.kept_colours import KeptColours, square_means_error
from tests.systems.losses.small_steps import step_of
from tests.systems.small_systems import fitting_system, quiet_trainer
from tests.systems.test_latent_nerf_rgb import refining


def test_squares_may_change_inside_but_not_in_the_mean():
    rng = torch.Generator().manual_seed(0)
    before = torch.rand(2, 8, 8, 3, generator=rng)
    stripes = before.clone()
    stripes[:, :, ::2] += 0.25
    stripes[:, :, 1::2] -= 0.25
    assert float(square_means_error(stripes, before, 4)) == pytest.approx(0.0, abs=1e-12)
    assert float(square_means_error(before + 0.1, before, 4)) == pytest.approx(0.01, rel=1e-4)
    one_corner = before.clone()
    one_corner[:, :4, :4] += 0.2
    assert float(square_means_error(one_corner, before, 4)) == pytest.approx(0.01, rel=1e-4)
    assert float(square_means_error(one_corner, before, 16)) == pytest.approx(0.05**2, rel=1e-4), "one square of all"


def keeping(weight: float, **changes: Any) -> LatentNeRFRGB:
    kept = Choice.of(KeptColours, square=4, weight=Schedule.constant(weight))
    return refining(losses={"kept": kept}, rays="whole", **changes)


@pytest.fixture(scope="module")
def trained() -> LatentNeRF:
    system = fitting_system(total_steps=60)
    quiet_trainer(60).fit(system)
    return system


def test_what_is_kept_is_what_the_stage_began_with(trained: LatentNeRF):
    system = keeping(1.0).eval()
    system.set_up()
    system.start_from(trained)
    cameras = system.views.draw(16, 0, 3, stream(0, "v", 0))
    assert isinstance(system.geometry, RGBField)
    (loss,) = system.losses.parts()
    assert isinstance(loss, KeptColours)
    assert float(loss(step_of(system, 1, cameras)).detach()) == 0
    with torch.no_grad():
        system.geometry.colour.bias.add_(0.4)  # 0.2 brighter, as far as the object is opaque
    kept = loss(step_of(system, 1, cameras))
    opacity = system.renderer(system.geometry, system.background, cameras, stream(0, "a", 1)).opacity
    expected = (0.2 * F.avg_pool2d(opacity[:, None], 4)).square().mean()
    torch.testing.assert_close(kept, expected, rtol=1e-3, atol=1e-7)
    kept.backward()
    assert all(parameter.grad is None for parameter in loss.beginning.parameters())


def test_colours_stay_where_they_are_to_be_kept(trained: LatentNeRF):
    """Guidance asks for a white ball; kept squares forbid it."""
    moved = []
    for weight in (0.0, 100.0):
        system = keeping(weight, total=30)
        assert isinstance(system.guidance, RGBGuidance)
        assert isinstance(system.guidance.inner, TargetImage)
        system.guidance.inner.set_target(lambda cameras: torch.ones(len(cameras), cameras.height, cameras.width, 3))
        system.set_up()
        system.start_from(trained)
        cameras = system.surrounding_cameras(4, 16)
        before = system.render(cameras).foreground
        quiet_trainer(30).fit(system)
        moved.append(float((system.render(cameras).foreground - before).mean(dim=(1, 2)).norm()))
    assert moved[1] < 0.5 * moved[0]


def test_a_resumed_stage_still_knows_what_it_began_with(trained: LatentNeRF, tmp_path: Path):
    def stage() -> LatentNeRFRGB:
        system = keeping(1.0, total=6)
        system.set_up()
        return system

    whole, first, second = stage(), stage(), stage()
    whole.start_from(trained)
    first.start_from(trained)
    quiet_trainer(6).fit(whole)
    quiet_trainer(3, [Checkpoints(tmp_path, 0)]).fit(first)
    quiet_trainer(6).fit(second, ckpt_path=tmp_path / CHECKPOINT, weights_only=True)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


def test_a_square_without_pixels_is_refused():
    with pytest.raises(UserError, match="square: at least 1, got 0"):
        KeptColours.Config(square=0)

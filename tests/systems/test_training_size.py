"""Coarse to fine: which sizes a training renders and guides at."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.chance import stream
from core.errors import UserError
from core.part import Choice
from core.schedule import Schedule
from guidance.latent_sds import LatentSDS
from guidance.rgb import RGBGuidance
from guidance.target_image import TargetImage
from systems.latent_nerf import LatentNeRF
from systems.training_size import TrainingSize
from systems.views.pool import CameraPool
from tests.systems.small_systems import RANGES, distilling_system, small_config

GROWING = Schedule.ramp(4.0, 8.0, until=0.5)


class Sized(TargetImage):
    """Guidance at 32 x 32, of pictures four times as large, that allows other sizes or none."""

    picture_size = 128  # pyright: ignore

    def __init__(self, size_step: int | None) -> None:
        super().__init__(TargetImage.Config(size=32))
        self.size_step = size_step


def test_sizes_are_multiples_of_what_the_denoiser_takes():
    size = TrainingSize.of(Schedule.ramp(16.0, 32.0), Sized(4), "system.latent_size")
    sizes = [size.at(step, 12) for step in range(13)]
    wanted = [16, 16, 20, 20, 20, 24, 24, 24, 28, 28, 28, 32, 32]
    assert sizes == wanted, "16 + 4/3 step, to the nearest multiple of 4"
    assert list(size.further_pictures(Sized(4))) == [64, 80, 96, 112]


def test_without_a_schedule_it_is_the_models_own():
    size = TrainingSize.of(None, Sized(None), "")
    assert size.at(0, 10) == size.at(10, 10) == 32
    assert list(size.further_pictures(Sized(None))) == []


@pytest.mark.parametrize(
    ("schedule", "size_step", "fault"),
    [
        (Schedule.ramp(16.0, 64.0), 4, "here: from 4 to the model's own 32, got 16 to 64"),
        (Schedule.constant(3.0), 4, "here: from 4 to the model's own 32, got 3 to 3"),
        (Schedule.constant(16.0), None, "here: 'target-image' works at 32 alone; leave it out"),
    ],
)
def test_what_does_not_fit_is_told(schedule: Schedule, size_step: int | None, fault: str):
    with pytest.raises(UserError) as caught:
        TrainingSize.of(schedule, Sized(size_step), "here")
    assert str(caught.value) == fault


def test_guidance_of_pictures_grows_in_the_encoders_steps(tiny_model: Callable[..., Path]):
    inner = Choice.of(LatentSDS, model=str(tiny_model()))
    pictures = RGBGuidance(RGBGuidance.Config(inner))
    assert (pictures.latent_size, pictures.size_step) == (16, 4)


def test_known_pictures_have_one_size_and_functions_any():
    assert TargetImage(TargetImage.Config(size=8)).size_step == 1


@pytest.mark.parametrize("views", [None, Choice.of(CameraPool, **RANGES, n_views=2, size=4)])
def test_a_training_renders_and_guides_at_the_size_of_its_step(views: Any, tiny_model: Callable[..., Path]):
    changes = {} if views is None else {"views": views}
    system = distilling_system(tiny_model(), latent_size=GROWING, **changes)
    system.set_up()
    asked: list[tuple[int, ...]] = []
    guidance: Any = system.guidance
    predict = guidance.model.predict
    guidance.model.predict = lambda noisy, *rest: (asked.append(noisy.shape[1:3]), predict(noisy, *rest))[1]
    for step in range(4):
        loss, _ = system.compute_loss(step, stream(0, "training", step))
        loss.backward()
    assert asked == [(4, 4), (6, 6), (6, 6), (8, 8)], "4 + 4 step / 3, to the nearest multiple of 2"
    assert system.validation_cameras(1, system.guidance.latent_size).height == 8


def test_flat_backgrounds_are_encoded_in_every_size_of_the_training(tiny_model: Callable[..., Path]):
    """As the encoder sees a picture of that size: its border is no interpolation of a larger one's."""
    system = distilling_system(tiny_model(), latent_size=GROWING)
    system.set_up()
    rays = torch.nn.functional.normalize(torch.ones(1, 4, 4, 3), dim=-1)
    shown = system.background.eval()(rays, stream(0, "training", 0))
    white = system.guidance.encode(torch.ones(1, 8, 8, 3))
    torch.testing.assert_close(shown, white)
    plain = distilling_system(tiny_model())
    plain.set_up()
    assert not torch.allclose(plain.background.eval()(rays, stream(0, "training", 0)), white, atol=1e-3)


def test_a_recipe_is_told_the_path_of_its_fault():
    config = small_config(Choice.of(TargetImage, size=8), latent_size=Schedule.constant(16.0))
    with pytest.raises(UserError, match=r"^latent_size: from 1 to the model's own 8, got 16 to 16"):
        LatentNeRF(config, "a ball", seed=0, total_steps=6)


def test_a_size_that_no_memory_can_meet_is_refused():
    huge = Sized(None)
    huge._size = 10**9
    with pytest.raises(
        UserError, match=r"^guidance: a view of 1000000000 x 1000000000 latents would take 55\.51 EiB of memory"
    ):
        TrainingSize.of(None, huge, "system.latent_size")

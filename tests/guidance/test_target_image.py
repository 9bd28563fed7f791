"""`target-image`: the exact score of known pictures."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from core.cameras import orbit_cameras
from core.errors import UserError
from core.part import Choice
from core.schedule import Schedule
from core.types import Cameras
from guidance.sds import add_noise
from guidance.target_image import TargetImage
from tests.guidance.seen import seen_as


def _cameras(n_views: int, size: int = 4) -> Cameras:
    ones = torch.ones(n_views)
    return orbit_cameras(20 * ones, torch.arange(n_views) * 40.0, 1.5 * ones, 45 * ones, size, size)


def _toward(target: torch.Tensor, **settings: object) -> TargetImage:
    guidance = TargetImage(TargetImage.Config(size=4, **settings))  # pyright: ignore[reportArgumentType]
    guidance.set_target(lambda cameras: target)
    guidance.prepare("ignored")
    return guidance


def test_score_is_that_of_the_best_denoiser_for_a_single_picture():
    """With x_t drawn from the picture's own distribution, the denoiser's answer is the noise that was added."""
    latents, target, noise = torch.randn(3, 2, 4, 4, 3, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.6, 0.6])
    noisy = add_noise(latents, noise, (1 - sigma**2).sqrt(), sigma)
    best_guess = (noisy - 0.8 * target) / 0.6  # the noise, if the clean picture is the target
    expected = 0.36 * (best_guess - noise) / (2 * 4 * 4)
    leaf = latents.clone().requires_grad_()
    guidance = _toward(target, noise=Schedule.constant(0.6))
    (seen,) = torch.autograd.grad(guidance(seen_as(leaf), _cameras(2), 0, 1, torch.Generator()).loss, leaf)
    torch.testing.assert_close(seen, expected, rtol=1e-4, atol=1e-6)


def test_at_the_target_there_is_nothing_to_do():
    target = torch.randn(1, 4, 4, 3)
    output = _toward(target)(seen_as(target.clone()), _cameras(1), 0, 1, torch.Generator())
    assert output.loss.item() == 0
    assert output.metrics["target_mse"].item() == 0


def test_free_latents_arrive_at_the_target():
    target = torch.randn(1, 4, 4, 3, generator=torch.Generator().manual_seed(0))
    latents = torch.zeros_like(target, requires_grad=True)
    guidance = _toward(target, weighting="uniform")
    for step in range(200):
        (gradient,) = torch.autograd.grad(
            guidance(seen_as(latents), _cameras(1), step, 200, torch.Generator()).loss, latents
        )
        latents = (latents - gradient).detach().requires_grad_()
    torch.testing.assert_close(latents.detach(), target, rtol=1e-3, atol=1e-3)


def test_the_generator_is_left_alone():
    rng = torch.Generator().manual_seed(5)
    _toward(torch.zeros(1, 4, 4, 3))(seen_as(torch.ones(1, 4, 4, 3)), _cameras(1), 0, 1, rng)
    assert torch.equal(rng.get_state(), torch.Generator().manual_seed(5).get_state())


def _picture_folder(folder: Path, size: int) -> Path:
    views = []
    for i, level in enumerate((0, 255)):
        Image.new("RGB", (size, size), (level, level, level)).save(folder / f"{i}.png")
        view = {"file": f"{i}.png", "elevation_deg": 0, "azimuth_deg": 90 * i, "radius": 1.5, "fovy_deg": 45}
        views.append(view)
    (folder / "cameras.json").write_text(json.dumps(views))
    return folder


def test_a_folder_gives_each_known_camera_its_picture(tmp_path: Path):
    guidance = TargetImage(TargetImage.Config(folder=_picture_folder(tmp_path, 4), size=4))
    guidance.prepare("")
    assert guidance.view_needs.cameras is not None
    assert (guidance.view_needs.cameras.height, guidance.picture_size) == (1, 4)
    for i, level in enumerate((-1.0, 1.0)):
        latents = torch.full((1, 4, 4, 3), level)
        output = guidance(seen_as(latents), guidance.view_needs.cameras[i : i + 1], 0, 1, torch.Generator())
        assert output.metrics["target_mse"].item() == pytest.approx(0, abs=1e-9)


def test_with_a_model_the_pictures_go_through_its_autoencoder(tmp_path: Path, tiny_model: Callable[..., Path]):
    config = TargetImage.Config(folder=_picture_folder(tmp_path, 16), model=str(tiny_model()))
    guidance = TargetImage(config)
    guidance.prepare("")
    assert (guidance.latent_channels, guidance.latent_size, guidance.picture_size) == (4, 8, 16)
    assert guidance.view_needs.cameras is not None
    white = guidance.encode(torch.ones(1, 16, 16, 3))
    output = guidance(seen_as(white), guidance.view_needs.cameras[1:2], 0, 1, torch.Generator())
    assert output.metrics["target_mse"].item() == pytest.approx(0, abs=1e-9)


def test_the_background_of_the_training_shows_through_transparent_pictures(tmp_path: Path):
    """The picture that is wanted is the red half over whatever lies behind, blended by hand."""
    folder = _picture_folder(tmp_path, 4)
    red = Image.new("RGBA", (4, 4), (255, 0, 0, 255))
    red.paste((0, 0, 0, 0), (2, 0, 4, 4))
    red.putpixel((1, 0), (255, 0, 0, 51))
    red.save(folder / "0.png")
    guidance = TargetImage(TargetImage.Config(folder=folder, size=4))
    guidance.prepare("")
    behind = torch.rand(1, 4, 4, 3, generator=torch.Generator().manual_seed(2)) * 2 - 1
    wanted = behind.clone()
    wanted[0, :, :2] = torch.tensor([1.0, -1.0, -1.0])
    wanted[0, 0, 1] = 0.2 * wanted[0, 0, 1] + 0.8 * behind[0, 0, 1]
    assert guidance.view_needs.cameras is not None
    seen = dataclasses.replace(seen_as(wanted), background=behind)
    output = guidance(seen, guidance.view_needs.cameras[:1], 0, 1, torch.Generator())
    assert output.metrics["target_mse"].item() == pytest.approx(0, abs=1e-9)


def test_rgb_latents_are_scaled_to_plus_minus_one():
    guidance = _toward(torch.zeros(1, 4, 4, 3))
    assert guidance.encode(torch.full((1, 1, 1, 3), 0.75)).flatten().tolist() == [0.5] * 3
    assert guidance.decode(torch.full((1, 1, 1, 3), 3.0)).flatten().tolist() == [1.0] * 3


def test_without_pictures_it_says_what_is_missing():
    with pytest.raises(UserError, match=r"^system\.guidance\.folder: target-image needs a folder of pictures"):
        Choice(TargetImage, TargetImage.Config(), "system.guidance").build().prepare("")


def test_noise_must_lie_between_nothing_and_everything():
    with pytest.raises(UserError, match="noise: between 0 and 1"):
        TargetImage.Config(noise=Schedule.constant(1.0))

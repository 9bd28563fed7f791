"""Guidance on pictures: the gradient flows through the encoder, and nothing else changes."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from core.part import Choice
from core.types import Cameras
from guidance.latent_sds import LatentSDS
from guidance.rgb import RGBGuidance
from guidance.target_image import TargetImage
from systems.views import Views, shown_views


def views(size: int, n: int = 2) -> Cameras:
    return shown_views(Views(), n, size)


def of_pictures(target: Callable[[Cameras], Tensor], size: int = 8) -> RGBGuidance:
    """Guidance by exact pictures whose "latents" are 2 rgb - 1."""
    made = RGBGuidance(RGBGuidance.Config(Choice.of(TargetImage, size=size)))
    assert isinstance(made.of, TargetImage)
    made.of.set_target(target)
    made.prepare("")
    return made


def test_the_loss_is_that_of_the_encoded_picture_and_its_gradient_the_chain_rule():
    rng = torch.Generator().manual_seed(0)
    rgb = torch.rand(2, 8, 8, 3, generator=rng).requires_grad_()
    wanted = torch.rand(2, 8, 8, 3, generator=rng)
    guidance = of_pictures(lambda _: wanted)
    latents = (2 * rgb - 1).detach().requires_grad_()
    direct = guidance.of(latents, views(8), 0, 10, rng).loss
    through = guidance(rgb, views(8), 0, 10, rng).loss
    torch.testing.assert_close(through, direct)
    (of_rgb,), (of_latents,) = torch.autograd.grad(through, rgb), torch.autograd.grad(direct, latents)
    torch.testing.assert_close(of_rgb, 2 * of_latents)


def test_to_its_user_latents_are_pictures(tiny_model: Callable[..., Path]):
    guidance = RGBGuidance(RGBGuidance.Config(Choice.of(LatentSDS, model=str(tiny_model()))))
    assert (guidance.latent_channels, guidance.latent_size) == (3, guidance.of.picture_size)
    assert guidance.picture_size == guidance.of.picture_size
    assert guidance.decodes_points
    beyond = torch.tensor([[[[-1.0, 0.25, 7.0]]]])
    assert guidance.decode(beyond).tolist() == [[[[0, 0.25, 1]]]]
    assert torch.equal(guidance.encode(beyond), beyond)


def test_a_real_encoder_gives_every_pixel_a_gradient_even_beyond_white(tiny_model: Callable[..., Path]):
    guidance = RGBGuidance(RGBGuidance.Config(Choice.of(LatentSDS, model=str(tiny_model()))))
    guidance.prepare("a red ball")
    size = guidance.latent_size
    rng = torch.Generator().manual_seed(0)
    rgb = (3 * torch.rand(1, size, size, 3, generator=rng) - 1).requires_grad_()
    guidance(rgb, views(size, 1), 0, 10, rng).loss.backward()
    assert rgb.grad is not None
    assert bool((rgb.grad.abs().amax(dim=-1) > 0).all())
    assert all(parameter.grad is None for parameter in guidance.parameters())

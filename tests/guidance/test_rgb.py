"""Guidance on pictures: the gradient flows through the encoder, and nothing else changes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.cameras import orbit_cameras
from core.errors import UserError
from core.part import Choice
from core.settings import read_settings
from core.types import Cameras
from guidance.latent_sds import LatentSDS
from guidance.rgb import RGBGuidance
from guidance.target_image import TargetImage
from tests.guidance.seen import seen_as


def views(size: int, n: int = 2) -> Cameras:
    same = torch.ones(n)
    return orbit_cameras(20 * same, torch.arange(n) * 180.0, 1.25 * same, 55 * same, size, size)


def of_pictures(target: Callable[[Cameras], Tensor], size: int = 8) -> RGBGuidance:
    """Guidance by exact pictures whose "latents" are 2 rgb - 1."""
    made = RGBGuidance(RGBGuidance.Config(Choice.of(TargetImage, size=size)))
    assert isinstance(made.inner, TargetImage)
    made.inner.set_target(target)
    made.prepare("")
    return made


def test_the_loss_is_that_of_the_encoded_picture_and_its_gradient_the_chain_rule():
    rng = torch.Generator().manual_seed(0)
    rgb = torch.rand(2, 8, 8, 3, generator=rng).requires_grad_()
    wanted = torch.rand(2, 8, 8, 3, generator=rng)
    guidance = of_pictures(lambda _: wanted)
    latents = (2 * rgb - 1).detach().requires_grad_()
    direct = guidance.inner(seen_as(latents), views(8), 0, 10, rng).loss
    through = guidance(seen_as(rgb), views(8), 0, 10, rng).loss
    torch.testing.assert_close(through, direct)
    (of_rgb,), (of_latents,) = torch.autograd.grad(through, rgb), torch.autograd.grad(direct, latents)
    torch.testing.assert_close(of_rgb, 2 * of_latents)


def test_to_its_user_latents_are_pictures(tiny_model: Callable[..., Path]):
    guidance = RGBGuidance(RGBGuidance.Config(Choice.of(LatentSDS, model=str(tiny_model()))))
    assert (guidance.latent_channels, guidance.latent_size) == (3, guidance.inner.picture_size)
    assert guidance.picture_size == guidance.inner.picture_size
    assert guidance.decodes_pixelwise
    beyond = torch.tensor([[[[-1.0, 0.25, 7.0]]]])
    assert guidance.decode(beyond).tolist() == [[[[0, 0.25, 1]]]]
    assert torch.equal(guidance.encode(beyond), beyond)


def test_a_real_encoder_gives_every_pixel_a_gradient_even_beyond_white(tiny_model: Callable[..., Path]):
    guidance = RGBGuidance(RGBGuidance.Config(Choice.of(LatentSDS, model=str(tiny_model()))))
    guidance.prepare("a red ball")
    size = guidance.latent_size
    rng = torch.Generator().manual_seed(0)
    rgb = (3 * torch.rand(1, size, size, 3, generator=rng) - 1).requires_grad_()
    guidance(seen_as(rgb), views(size, 1), 0, 10, rng).loss.backward()
    assert rgb.grad is not None
    assert bool((rgb.grad.abs().amax(dim=-1) > 0).all())
    assert all(parameter.grad is None for parameter in guidance.parameters())


def test_what_the_inner_guidance_says_of_itself_is_handed_on(tiny_model: Callable[..., Path]):
    """Its needs of views, its own terms, what it trains; and its further channels arrive as they were rendered."""
    guidance = of_pictures(lambda cameras: torch.zeros(len(cameras), 8, 8, 3))
    assert guidance.latent_guidance is guidance.inner
    learnt = torch.nn.Parameter(torch.ones(3))
    guidance.inner.register_parameter("learnt", learnt)
    assert [group["params"] for group in guidance.parameter_groups()] == [[learnt]]
    seen: list[object] = []
    guidance.inner.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    render = seen_as(torch.rand(2, 8, 8, 3))
    guidance(render, views(8), 0, 10, torch.Generator())
    (given,) = seen
    assert torch.equal(given.depth, render.depth)  # pyright: ignore[reportAttributeAccessIssue]
    assert torch.equal(given.latents, 2 * render.latents - 1)  # pyright: ignore[reportAttributeAccessIssue]


def test_advice_names_the_place_of_the_inner_guidance():
    read = read_settings(RGBGuidance.Config, {"inner": {"type": "latent-sds", "model": "./nowhere"}}, "system.guidance")
    assert read.inner.path == "system.guidance.inner"
    with pytest.raises(UserError, match=r"system\.guidance\.inner\.type: no guidance is called 'latent-sdss'"):
        read_settings(RGBGuidance.Config, {"inner": {"type": "latent-sdss"}}, "system.guidance")


def test_the_former_name_of_the_inner_guidance_is_told():
    with pytest.raises(UserError, match=r"of: no such setting of rgb\. Say inner instead\."):
        read_settings(RGBGuidance.Config, {"of": {"type": "target-image"}}, owner="rgb")

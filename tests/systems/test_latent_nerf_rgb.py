"""The RGB stage: its first look is the latent field's, squares see the whole picture, and it learns."""

import dataclasses
from typing import Any

import pytest
import torch

from core.cameras import camera_rays
from core.chance import stream
from core.errors import UserError
from core.part import Choice
from core.settings import read_settings
from core.types import RenderOutput
from geometry.latent_field import HashGridField
from geometry.rgb_field import RGBField
from guidance.rgb import RGBGuidance
from guidance.target_image import TargetImage
from renderers.backgrounds import DirectionalBackground
from systems.latent_nerf import LatentNeRF
from systems.latent_nerf_rgb import LatentNeRFRGB, pasted
from systems.shading import Shading
from tests.systems.small_systems import ball_pictures, fitting_system, quiet_trainer, small_config


def set_up(system: LatentNeRF) -> LatentNeRF:
    """A run as --from finds it: the app sets systems up before one begins with another."""
    system.set_up()
    return system


def located(guidance: Choice, geometry: Choice) -> dict[str, Choice]:
    """Guidance and field where a recipe holds them, so that errors name their settings in full."""
    found = {"guidance": guidance, "geometry": geometry}
    for kind, choice in found.items():
        inner = dataclasses.replace(choice.config.inner, path=f"system.{kind}.inner")
        config = dataclasses.replace(choice.config, inner=inner)
        found[kind] = dataclasses.replace(choice, config=config, path=f"system.{kind}")
    return found


def refining(total: int = 3, size: int = 16, **changes: Any) -> LatentNeRFRGB:
    """The RGB stage of `fitting_system`, whose "latents" are 2 rgb - 1: three of them."""
    latent = small_config(Choice.of(TargetImage, size=size))
    settings: dict[str, Any] = {
        **{name: getattr(latent, name) for name in ("background", "renderer", "views", "optimizer", "losses")},
        "geometry": Choice.of(RGBField, inner=latent.geometry, n_latents=3),
        "guidance": Choice.of(RGBGuidance, inner=Choice.of(TargetImage, size=size)),
        **changes,
    }
    settings |= located(settings["guidance"], settings["geometry"])
    system = LatentNeRFRGB(LatentNeRFRGB.Config(**settings), "a ball", 0, total)
    assert isinstance(system.guidance, RGBGuidance)
    assert isinstance(system.guidance.inner, TargetImage)
    system.guidance.inner.set_target(ball_pictures)
    return system


@pytest.fixture(scope="module")
def trained() -> LatentNeRF:
    system = fitting_system(total_steps=60)
    quiet_trainer(60).fit(system)
    return system


def test_the_first_look_is_the_latent_fields(trained: LatentNeRF):
    system = refining()
    system.set_up()
    system.start_from(trained)
    cameras = trained.validation_cameras(3, 16)
    theirs, mine = trained.render(cameras), system.render(cameras)
    # Theirs skips cells that are all but empty by now.
    torch.testing.assert_close(mine.opacity, theirs.opacity, atol=0.03, rtol=0)
    # Here colours are an exact linear function of latents, so the fitted layer loses nothing (the decoder clamps).
    colours = trained.decode(theirs.foreground / theirs.opacity[..., None].clamp_min(1e-6))
    solid = theirs.opacity > 0.99
    shown = (mine.foreground / mine.opacity[..., None].clamp_min(1e-6)).clamp(0, 1)
    assert float((shown - colours)[solid].abs().mean()) < 0.05


def test_the_first_ball_stays_as_the_field_was_left():
    """Or the second stage, whose recipe says nothing of it, would begin with another density."""
    small = small_config(Choice.of(TargetImage, size=16)).geometry.config
    first = fitting_system(total_steps=2, geometry=Choice(HashGridField, dataclasses.replace(small, blob_height=5.0)))
    quiet_trainer(2).fit(first)
    second = refining(2, geometry=Choice.of(RGBField, inner=Choice(HashGridField, small), n_latents=3))
    second.set_up()
    second.start_from(first)
    quiet_trainer(2).fit(second)
    assert isinstance(second.geometry, RGBField)
    assert isinstance(second.geometry.inner, HashGridField)
    assert small.blob_height != second.geometry.inner.blob_height == 5.0


def test_a_learnt_background_goes_through_the_same_layer():
    behind = Choice.of(DirectionalBackground)
    latent, system = fitting_system(3, background=behind), refining(background=behind)
    latent.set_up()
    system.set_up()
    system.start_from(latent)
    field = system.geometry
    assert isinstance(field, RGBField)
    colour = field.colour
    directions = camera_rays(latent.validation_cameras(2, 8)).directions
    rng = stream(0, "a", 0)
    with torch.no_grad():
        z = latent.background(directions, rng)
        torch.testing.assert_close(system.background(directions, rng), (colour(z) + 1) / 2, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("setting", "here", "there"),
    [("log2_table_size", 6, 12), ("bound", 0.7, 0.6), ("blob_radius", 0.2, 0.25), ("density_offset", -4.0, -5.0)],
)
def test_another_field_is_refused_by_its_setting(setting: str, here: float, there: float):
    """Most of them change no tensor's shape: the same tables would be read at other places."""
    grid = small_config(Choice.of(TargetImage)).geometry.config
    other = Choice.of(HashGridField, **{**vars(grid), setting: here, "grid_learning_rate": 0.5})
    system = refining(geometry=Choice.of(RGBField, inner=other, n_latents=3))
    with pytest.raises(UserError) as error:
        system.start_from(set_up(fitting_system(3)))
    assert str(error.value) == (
        "--from: the run does not fit system.geometry.inner of this recipe: "
        f"{setting} is {there} there and {here} here; give system.geometry.inner.{setting}={there}"
    )


def test_another_number_of_latents_is_refused():
    system = refining(geometry=Choice.of(RGBField, inner=small_config(Choice.of(TargetImage)).geometry, n_latents=4))
    with pytest.raises(UserError, match=r"its latents have 3 channels, not 4; give system\.geometry\.n_latents=3$"):
        system.start_from(set_up(fitting_system(3)))


def test_a_second_stage_of_colours_wants_the_same_field():
    first, second = refining(), refining(geometry=_with_bound(0.65))
    with pytest.raises(
        UserError, match=r"inner\.bound is 0\.6 there and 0\.65 here; give system\.geometry\.inner\.bound=0\.6$"
    ):
        second.start_from(first)


def test_the_published_layer_is_for_the_latents_of_its_model(monkeypatch: pytest.MonkeyPatch):
    system = refining(colour="stable-diffusion-1")
    assert isinstance(system.guidance, RGBGuidance)
    monkeypatch.setattr(system.guidance.inner, "encode", lambda rgb: 3 * rgb)
    complaint = r"does not fit system\.guidance\.inner of this recipe: its latents are those of 'target-image', not of"
    with pytest.raises(UserError, match=complaint):
        system.start_from(set_up(fitting_system(3)))


def _with_bound(bound: float) -> Choice:
    grid = small_config(Choice.of(TargetImage)).geometry.config
    return Choice.of(RGBField, inner=Choice.of(HashGridField, **{**vars(grid), "bound": bound}), n_latents=3)


def _flat(picture: torch.Tensor) -> RenderOutput:
    """A rendering of such a picture, opacity and depth as its red."""
    return RenderOutput(picture, picture[..., 0], picture[..., 0], None, picture, None)


def test_a_pasted_picture_is_coarse_around_and_fine_inside():
    rng = torch.Generator().manual_seed(0)
    coarse, fine = torch.rand(2, 4, 4, 3, generator=rng), torch.rand(2, 8, 8, 3, generator=rng)
    whole = pasted(_flat(coarse), _flat(fine), (4, 8), (16, 16)).foreground
    assert torch.equal(whole[:, 4:12, 8:16], fine)
    flat = pasted(_flat(torch.full((1, 4, 4, 3), 0.3)), _flat(fine[:1]), (0, 0), (16, 16)).foreground
    assert bool((flat[:, 8:] == 0.3).all())


def test_squares_are_aligned_lie_inside_and_reach_everywhere(trained: LatentNeRF):
    system = refining(coarse_pixel=2)
    cameras = trained.validation_cameras(1, 16)
    found = {system._square(cameras, stream(0, "square", i)) for i in range(300)}
    assert {(height, width) for _, _, height, width in found} == {(8, 8)}
    places = [0, 2, 4, 6, 8]
    assert {(top, left) for top, left, _, _ in found} == {(top, left) for top in places for left in places}


def test_the_square_shows_what_the_whole_picture_shows(trained: LatentNeRF, monkeypatch: pytest.MonkeyPatch):
    """In evaluation mode nothing is random but the square: inside of it both ways agree."""
    system = refining(coarse_pixel=2).eval()
    system.set_up()
    system.start_from(trained)
    cameras = system.views.draw(16, 0, 3, stream(0, "views", 0))
    top, left, height, width = system._square(cameras, stream(0, "a", 0))
    monkeypatch.setattr(system, "_square", lambda *_: (top, left, height, width))
    with torch.no_grad():
        rendered = system.render_step(cameras, stream(0, "a", 0))
        whole = system.renderer(system.geometry, system.background, cameras, stream(0, "a", 0))
    inside = (slice(None), slice(top, top + height), slice(left, left + width))
    torch.testing.assert_close(rendered.whole.foreground[inside], whole.foreground[inside], atol=1e-4, rtol=0)
    torch.testing.assert_close(rendered.whole.opacity[inside], whole.opacity[inside], atol=1e-4, rtol=0)
    assert float((rendered.whole.opacity - whole.opacity).abs().mean()) < 0.1, (
        "outside it is the same picture, coarsely"
    )


@pytest.mark.parametrize("rays", ["whole", "square"])
def test_colours_are_refined(trained: LatentNeRF, rays: str):
    """From colours that the layer has got wrong, back to those of the pictures."""
    system = refining(40, rays=rays, coarse_pixel=2, shading=Shading(share=0.0))
    system.set_up()
    system.start_from(trained)
    assert isinstance(system.geometry, RGBField)
    system.geometry.set_colour(0.5 * torch.eye(3), torch.full((3,), 0.3))
    cameras = system.surrounding_cameras(4, 16)
    wanted = (ball_pictures(cameras) + 1) / 2
    before = float((system.render(cameras).latents - wanted).square().mean())
    quiet_trainer(40).fit(system)
    after = float((system.render(cameras).latents - wanted).square().mean())
    assert after < 0.6 * before


def test_light_reaches_the_shape(trained: LatentNeRF):
    """With light in every view the loss has a gradient in the density beyond that of colours alone."""
    system = refining(shading=Shading(share=1.0, ambient=0.0), rays="whole")
    system.set_up()
    system.start_from(trained)
    cameras = system.views.draw(16, 0, 3, stream(0, "v", 0))
    rendered = system.render_step(cameras, stream(0, "training", 1))
    system.guidance(rendered.whole, cameras, 1, 3, stream(0, "noise", 1)).loss.backward()
    assert all(bool(p.grad.isfinite().all()) for p in system.geometry.parameters() if p.grad is not None)
    assert any(float(p.grad.abs().sum()) > 0 for p in system.geometry.parameters() if p.grad is not None)


def test_old_recipes_are_told_where_kept_colours_are_now():
    with pytest.raises(UserError, match=r"kept_pixels: no such setting.*Say losses: {kept: {type: kept-colours, "):
        read_settings(LatentNeRFRGB.Config, {"kept_pixels": 8})

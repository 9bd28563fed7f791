"""Latent-Paint: the pool of views, the first texture, and a real painting."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from core.chance import stream
from core.errors import UserError
from core.part import Choice
from core.settings import read_settings
from exporters.mesh_files import write_mesh
from geometry.latent_field import HashGridField
from geometry.mesh import Mesh
from geometry.textured_mesh import TexturedMesh
from guidance.latent_sds import LatentSDS
from guidance.rgb import RGBGuidance
from guidance.target_image import TargetImage
from renderers.backgrounds import SolidColor
from renderers.mesh import MeshRenderer
from renderers.outline import EncodedOutline
from systems.latent_paint import N_FITTED_VIEWS, LatentPaint
from tests.geometry.test_textured_mesh import sheet, two_boxes
from tests.systems.small_paint import as_written, fitting_paint, paint_config, texture_at, views_of, write_ball
from tests.systems.small_systems import BALL_RADIUS, ball_pictures, fitting_system, quiet_trainer
from tests.tiny_pipelines import make_tiny_model


@pytest.fixture
def ball(tmp_path: Path) -> Path:
    return write_ball(tmp_path / "ball.ply")


def test_known_pictures_of_a_ball_are_painted_on_it(ball: Path):
    """The whole way but for the network: views, rasteriser, texture, exact score, optimiser."""
    system = fitting_paint(ball, total_steps=80)
    quiet_trainer(80).fit(system)
    anywhere = torch.nn.functional.normalize(torch.randn(300, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    points = BALL_RADIUS * anywhere[anywhere[:, 1].abs() > 0.2]
    colour = texture_at(system, points)
    red, green = torch.tensor([1.0, -1.0, -1.0]), torch.tensor([-1.0, 1.0, -1.0])
    expected = torch.where(points[:, 1:2] > 0, red, green)
    assert float((colour - expected).abs().mean()) < 0.1
    views = views_of(system)
    error = (system.render(views).latents - ball_pictures(views)).square().mean()
    assert float(error) < 0.05 * float((1 - ball_pictures(views)).square().mean())


def test_the_background_never_gets_into_the_texture(ball: Path):
    """The same painting before white and before black: the texture keeps nothing of either."""
    textures = []
    for color in ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0)):
        system = fitting_paint(ball, 3, background=Choice.of(SolidColor, color=color))
        system.set_up()
        render = system.renderer(system.geometry, system.background, views_of(system), stream(0, "a", 0))
        render.foreground.sum().backward()
        assert isinstance(system.geometry, TexturedMesh)
        textures.append(system.geometry.texture.grad)
    assert torch.equal(textures[0], textures[1])


def test_the_pool_is_drawn_ahead_and_changes_nothing(ball: Path):
    textures = []
    for waits in (False, True):
        system = fitting_paint(ball, 4)
        assert isinstance(system.renderer, MeshRenderer)
        if waits:
            cameras = system.views.all_cameras(16, torch.device("cpu"))
            assert cameras is not None
            system.renderer.draw_ahead(system.geometry, cameras, wait=True)
        quiet_trainer(4).fit(system)
        assert isinstance(system.geometry, TexturedMesh)
        textures.append(system.geometry.texture.detach())
    assert torch.equal(*textures)


def test_painting_starts_from_the_colour_of_the_recipe(ball: Path):
    system = fitting_paint(ball, 3, geometry={"start_color": (0.25, 0.5, 1.0)})
    system.set_up()
    assert isinstance(system.geometry, TexturedMesh)
    torch.testing.assert_close(system.geometry.texture[3, 4].detach(), torch.tensor([-0.5, 0.0, 1.0]))


def test_a_diffusion_model_moves_every_seen_texel(ball: Path, tiny_model: Callable[..., Path]):
    config = paint_config(ball, Choice.of(LatentSDS, model=str(tiny_model())))
    system = LatentPaint(config, "a red ball", seed=0, total_steps=3)
    system.set_up()
    assert isinstance(system.geometry, TexturedMesh)
    before = system.geometry.texture.detach().clone()
    quiet_trainer(3).fit(system)
    after = system.geometry.texture.detach()
    assert bool(after.isfinite().all())
    assert float((after != before).any(dim=-1).float().mean()) > 0.5


def test_a_volume_cannot_be_painted(ball: Path):
    with pytest.raises(UserError, match=r"hash-grid"):
        read_settings(LatentPaint.Config, {"geometry": {"type": HashGridField.part_name}})


def test_painting_starts_from_the_meshs_own_texture(tmp_path: Path):
    """A ball that came red above and green below, before the first step: by latents that are 2 rgb - 1."""
    ball = trimesh.creation.icosphere(subdivisions=3)
    height = (np.asarray(ball.vertices)[:, 1] + 1) / 2
    uv = np.stack([0.25 + 0.5 * height, height], axis=1)  # v follows the height: overlapping, so an atlas is made
    picture = np.zeros((32, 32, 3), dtype=np.uint8)
    picture[:16], picture[16:] = [255, 0, 0], [0, 255, 0]
    mesh = Mesh(
        np.asarray(ball.vertices, np.float32), np.asarray(ball.faces), uv=uv.astype(np.float32), texture=picture
    )
    path = write_mesh(tmp_path / "ball.glb", mesh, {})[0]
    system = fitting_paint(path, 3, geometry={"start": "own-texture"})
    system.set_up()
    cameras = views_of(system)
    shown = system.render(cameras)
    solid = shown.opacity > 0.999
    error = (shown.latents - ball_pictures(cameras))[solid].abs().mean()
    assert float(error) < 0.15


def _painting(path: Path, model: Path) -> LatentPaint:
    config = paint_config(path, Choice(LatentSDS, LatentSDS.Config(model=str(model)), "system.guidance"))
    system = LatentPaint(config, "a red ball", seed=0, total_steps=3)
    system.set_up()
    return system


def test_latents_of_another_model_are_refused(ball: Path, tiny_model: Callable[..., Path], tmp_path: Path):
    """Both have as many channels and texels: copied as they are, they would be other colours."""
    own = make_tiny_model(tmp_path / "own", vae={"scaling_factor": 0.5})
    first, second = _painting(ball, tiny_model()), _painting(ball, own)
    complaint = (
        f"--from: the run does not fit system.guidance of this recipe: its latents are those of '{tiny_model()}', "
        f"not of '{own}'; give system.guidance.model={tiny_model()}"
    )
    with pytest.raises(UserError, match=f"^{re.escape(complaint)}$"):
        second.start_from(first)


def test_a_model_by_another_name_is_the_same_model(ball: Path, tiny_model: Callable[..., Path], tmp_path: Path):
    first = _painting(ball, tiny_model())
    (tmp_path / "link").symlink_to(tiny_model())
    second = _painting(ball, tmp_path / "link")
    assert isinstance(first.geometry, TexturedMesh)
    assert isinstance(second.geometry, TexturedMesh)
    first.geometry.restart(torch.randn(32, 32, 4, generator=torch.Generator().manual_seed(0)))
    second.start_from(first)
    assert torch.equal(second.geometry.texture, first.geometry.texture)


def test_latents_of_as_many_channels_as_colours_are_no_colours(ball: Path):
    """Three latents z = 2 rgb - 1 go on as colours: through pictures, for as they are they would be too dark."""
    first = fitting_paint(ball, 3)
    first.set_up()
    assert isinstance(first.geometry, TexturedMesh)
    first.geometry.restart(torch.tensor([0.5, 0.0, -0.5]))
    config = paint_config(ball, Choice.of(RGBGuidance, inner=Choice.of(TargetImage, size=16)))
    second = LatentPaint(config, "a ball", 0, 3)
    assert isinstance(second.guidance, RGBGuidance)
    assert isinstance(second.guidance.inner, TargetImage)
    second.guidance.inner.set_target(ball_pictures)
    second.set_up()
    second.start_from(first)
    assert isinstance(second.geometry, TexturedMesh)
    shown = second.render(views_of(second))
    colour = (shown.foreground / shown.opacity[..., None])[shown.opacity > 0.99].mean(dim=0)
    torch.testing.assert_close(colour, torch.tensor([0.75, 0.5, 0.25]), atol=0.05, rtol=0)


def test_a_second_coat_keeps_the_coordinates_of_the_first(tmp_path: Path):
    """Painted on an atlas of a mesh whose own coordinates this recipe would have kept."""
    path = sheet(tmp_path / "sheet.obj")
    first, second = fitting_paint(path, 3, geometry={"uv": "atlas"}), fitting_paint(path, 3)
    assert isinstance(first.geometry, TexturedMesh)
    assert isinstance(second.geometry, TexturedMesh)
    assert second.geometry.uses_own_uv
    second.start_from(first)
    assert not second.geometry.uses_own_uv
    written = as_written(second.geometry)
    assert written.uv is not None
    assert np.array_equal(written.uv[written.faces], first.geometry.corner_uv.numpy())


def test_views_that_were_kept_are_not_those_of_the_coordinates_before(tmp_path: Path):
    """A painting that began lit has kept views of its own atlas; the painting that it goes on from lies otherwise."""
    path = two_boxes(tmp_path / "boxes.obj")
    first = fitting_paint(path, 3, geometry={"uv": "atlas", "texture_size": 64})
    second = fitting_paint(path, 3, geometry={"start": "lit", "texture_size": 64})
    for system in (first, second):
        system.set_up()
    assert isinstance(first.geometry, TexturedMesh)
    assert isinstance(second.geometry, TexturedMesh)
    first.geometry.set_uv(first.geometry.corner_uv.flip(-1))
    first.geometry.restart(torch.randn(64, 64, 3, generator=torch.Generator().manual_seed(0)))
    second.start_from(first)
    cameras = second.surrounding_cameras(N_FITTED_VIEWS, second.guidance.picture_size)
    assert torch.equal(second.render(cameras).foreground, first.render(cameras).foreground)


def test_colours_mix_as_light_does(ball: Path):
    """Nothing is learnt of their outlines, and they are shown as a recipe that mixes them shows them."""
    views = []
    for outline in ("mixed", "encoded"):
        system = fitting_paint(ball, 3, renderer=Choice.of(MeshRenderer, outline=outline))
        system.set_up()
        views.append(system.render(views_of(system)).latents)
    assert torch.equal(*views)


def test_outlines_are_learnt_before_the_first_step_and_kept(ball: Path):
    """From the bundled autoencoder; a checkpoint's are taken as they are."""
    guidance = Choice.of(LatentSDS, model="toybox", precision="float32")
    config = paint_config(ball, guidance, renderer=Choice.of(MeshRenderer, outline="encoded"))

    def outline_of(system: LatentPaint) -> EncodedOutline:
        assert isinstance(system.renderer, MeshRenderer)
        assert system.renderer.outline is not None
        return system.renderer.outline

    first, again = LatentPaint(config, "a red ball", 0, 10), LatentPaint(config, "a red ball", 0, 10)
    first.set_up()
    outline = outline_of(first)
    assert bool(outline.is_fitted)
    views = views_of(first)
    with_outline = first.render(views).latents
    learnt = outline.coefficients.clone()
    outline.coefficients.zero_()
    assert float((first.render(views).latents - with_outline).abs().max()) > 0.1
    again.load_state_dict(first.state_dict())
    again.set_up()
    assert not bool(outline_of(again).coefficients.any())
    assert bool(learnt.any())


def test_a_volume_is_no_painting_to_go_on_from(ball: Path):
    system = fitting_paint(ball, 3)
    with pytest.raises(UserError, match=r"^--from: a painting goes on from a painting; that run has made a 'hash-"):
        system.start_from(fitting_system(3))


def test_another_mesh_is_refused(ball: Path, tmp_path: Path):
    second = fitting_paint(sheet(tmp_path / "sheet.obj"), 3)
    with pytest.raises(UserError, match=rf"^--from: that run has painted another mesh \({re.escape(str(ball))}\), or"):
        second.start_from(fitting_paint(ball, 3))


def test_old_recipes_are_told_where_the_pool_is_now():
    with pytest.raises(UserError, match=r"pool_size: no such setting.*Say views: {type: pool, size: \.\.\.}, or"):
        read_settings(LatentPaint.Config, {"pool_size": 8})

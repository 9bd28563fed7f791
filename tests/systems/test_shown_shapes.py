"""Guidance is shown the mesh that is painted, or the sketch that is followed, from the cameras of each step."""

from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.part import Choice
from core.schedule import Schedule
from guidance.control import ControlFile
from guidance.latent_sds import LatentSDS
from guidance.rgb import RGBGuidance
from renderers.backgrounds import NoBackground
from systems.base import LightningSystem
from systems.latent_nerf import LatentNeRF
from systems.latent_paint import LatentPaint
from systems.losses.sketch_normals import SketchNormalsLoss
from systems.losses.sketch_shape import SketchShapeLoss
from tests.guidance.made_add_ons import write_control
from tests.guidance.published import published_pipeline
from tests.systems.small_paint import paint_config, write_ball
from tests.systems.small_sketch import STRICT, sketch_system, write_brick
from tests.systems.small_systems import small_config
from tests.tiny_pipelines import make_tiny_model


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Settings of guidance: a tiny model, and a ControlNet for it."""
    folder = make_tiny_model(tmp_path_factory.mktemp("model"))
    control = write_control(tmp_path_factory.mktemp("control"), published_pipeline("sd", folder).unet)
    return {"model": str(folder), "control": (ControlFile(str(control), "depth"),)}


def _shown(system: LightningSystem, monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What a ControlNet is shown in two steps."""
    shown: list[torch.Tensor] = []
    guidance: Any = system.guidance.latent_guidance
    before = guidance.shown

    def noted(*asked: Any) -> Any:
        pictures = before(*asked)
        shown.append(pictures[0])
        return pictures

    monkeypatch.setattr(guidance, "shown", noted)
    system.set_up()
    for step in range(2):
        loss, _ = system.compute_loss(step, torch.Generator().manual_seed(step))
        loss.backward()
    return shown


def _are_bright(pictures: list[torch.Tensor]) -> bool:
    """Whether the middle of each, of 8 latents of 2 pixels, is nearly as near as the nearest point."""
    return [each.shape for each in pictures] == 2 * [(2, 3, 16, 16)] and all(
        bool((each[:, :, 8, 8] > 0.8).all()) for each in pictures
    )


def test_a_painting_is_steered_by_its_mesh(models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = paint_config(write_ball(tmp_path / "ball.ply"), Choice.of(LatentSDS, **models))
    system = LatentPaint(config, "a red ball", 0, 2)
    assert _are_bright(_shown(system, monkeypatch))


def test_its_second_stage_is_too(models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    guidance = Choice.of(RGBGuidance, inner=Choice.of(LatentSDS, **models))
    system = LatentPaint(paint_config(write_ball(tmp_path / "ball.ply"), guidance), "a red ball", 0, 2)
    assert _are_bright(_shown(system, monkeypatch))


@pytest.mark.parametrize("loss", [SketchShapeLoss, SketchNormalsLoss])
def test_a_field_is_steered_by_its_sketch_and_not_by_itself(
    loss: Any, models: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What is shown is the brick, from the first step on, when the field is a ball."""
    sketch = Choice.of(loss, **{**STRICT, "weight": Schedule.constant(1.0), "path": write_brick(tmp_path / "b.ply")})
    system = (
        sketch_system({"sketch": sketch}, Choice.of(LatentSDS, **models), 2)
        if loss is SketchShapeLoss
        else LatentNeRF(small_config(Choice.of(LatentSDS, **models), losses={"sketch": sketch}), "a brick", 0, 2)
    )
    assert _are_bright(_shown(system, monkeypatch))
    cameras = system.views.around(4, 32, torch.device("cpu"))
    guidance: Any = system.guidance
    front, side = (guidance.shown(cameras[i : i + 1], 16)[0][0, 0] > 0 for i in range(2))
    assert _width(front) > 1.5 * _width(side)  # the brick is twice as wide as deep


def _width(mask: torch.Tensor) -> int:
    return int(mask.any(dim=0).sum())


def test_the_mesh_is_where_the_renderer_has_it(models: dict[str, Any], tmp_path: Path):
    """Its outline in the pictures is that of a ball of the size to which the mesh is brought."""
    system = LatentPaint(paint_config(write_ball(tmp_path / "b.ply"), Choice.of(LatentSDS, **models)), "a", 0, 2)
    cameras = system.views.around(1, 8, torch.device("cpu"))
    guidance: Any = system.guidance
    seen = guidance.shown(cameras, 32)[0][0, 0] > 0
    opacity = system.render(cameras.resized(64, 64), background=NoBackground(4)).opacity[0]
    assert float((seen != (opacity > 0.5)).float().mean()) < 0.01
    assert 0.1 < float(seen.float().mean()) < 0.9


def test_without_mesh_or_sketch_it_is_refused_when_it_is_built(models: dict[str, Any]):
    config = small_config(Choice(LatentSDS, LatentSDS.Config(**models), "system.guidance"))
    with pytest.raises(
        UserError, match=r"^system\.guidance\.control: a ControlNet is shown a mesh, and the recipe has"
    ):
        LatentNeRF(config, "a mushroom", 0, 2)

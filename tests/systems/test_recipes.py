"""Every recipe of configs/ trains three steps and validates, with a tiny random model of the same family."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from app.parts import register_parts
from core.recipe import read_recipe
from core.recipe_layers import file_layers, merge_layers
from guidance.multi_view_sds import MultiViewSDS
from guidance.rgb import RGBGuidance
from systems.views.pool import CameraPool
from tests.systems.small_paint import write_ball
from tests.systems.small_systems import quiet_trainer
from tests.tiny_pipelines import make_tiny_model
from tests.told_models import make_told_model

CONFIGS = Path(__file__).parents[2] / "configs"
#: The stages of the first are recipes that are tested here; the others have tests of their own.
OTHERS = ("text-to-asset", "textual-inversion", "latent-nerf-mvdream")
RECIPES = sorted(path for path in CONFIGS.glob("*.yaml") if path.stem not in OTHERS)

#: Sizes alone, by what is trained; what a recipe chooses stays as it is.
SMALL: dict[str, list[str]] = {
    "hash-grid": [
        "system.geometry.log2_table_size=8",
        "system.renderer.samples_per_ray=12",
        "system.renderer.occupancy_resolution=16",
    ],
    "rgb-field": [
        "system.geometry.inner.log2_table_size=8",
        "system.renderer.samples_per_ray=12",
        "system.renderer.occupancy_resolution=16",
    ],
    "textured-mesh": ["system.geometry.texture_size=16"],
}
#: Settings that only users can give.
GIVEN: dict[str, Callable[[Path], list[str]]] = {
    "latent-paint": lambda folder: [f"system.geometry.path={write_ball(folder / 'ball.ply')}"],
}
#: What the toy world's models were trained to see; Stable Diffusion's folder says nothing of it.
WORLD = CONFIGS.parent / "toybox" / "model" / "world.json"


def test_there_are_recipes():
    assert {path.name for path in RECIPES} >= {"latent-nerf-single-view.yaml", "latent-nerf-sd.yaml"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_three_steps_and_a_validation(path: Path, tiny_model: Callable[..., Path], tmp_path: Path):
    register_parts()
    given = GIVEN.get(merge_layers(file_layers(path), path.name)["system"]["type"], lambda _: [])(tmp_path)
    as_written = read_recipe(path, given).system.config
    key, guidance = "system.guidance", as_written.guidance
    if guidance.part is RGBGuidance:  # holds the guidance that holds the model
        key, guidance = f"{key}.inner", guidance.config.inner
    has_world = guidance.config.model.startswith("toybox")
    if has_world:
        told = guidance.part is MultiViewSDS
        model = make_told_model(tmp_path / "model") if told else make_tiny_model(tmp_path / "model", "v_prediction")
        shutil.copy(WORLD, model)
    else:
        model = tiny_model("epsilon")
    small = [*given, *SMALL[as_written.geometry.part.part_name], "trainer.max_steps=3", f"{key}.model={model}"]
    if as_written.latent_size is not None:
        small.append("system.latent_size={start: 4, end: 8, from: 0.3, to: 0.6}")
    if as_written.views.part is CameraPool:
        small.append("system.views.size=8")
    recipe = read_recipe(path, small)
    system: Any = recipe.system.build("a red mushroom", recipe.seed, 3)
    before = {name: value.clone() for name, value in system.state_dict().items()}
    trainer = quiet_trainer(3)
    trainer.fit(system)
    assert trainer.global_step == 3
    changed = [name for name, value in system.named_parameters() if not (before[name] == value).all()]
    assert any(name.startswith("geometry") for name in changed)
    (numbers,) = quiet_trainer(3).validate(system, verbose=False)
    assert 0 < numbers["validation/opacity"] < 1
    if has_world:
        assert system.views.ranges.elevation_deg == system.guidance.trained_on.elevation_deg
        assert len(system.background.bank) == len(system.guidance.trained_on.backgrounds)

"""Recipes of several stages: who says what of which stage, and what is told where they do not fit."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.parts import register_parts
from core.errors import UserError
from core.recipe import Recipe
from core.stages import dump_stages, read_stages, with_previous

CONFIGS = Path(__file__).parents[2] / "configs"
STAGES = f"""
prompt: a green car
seed: 5
trainer: {{preview_every: 7}}
stages:
  - extends: {CONFIGS}/latent-nerf.yaml
    trainer: {{max_steps: 30, preview_every: 8}}
  - extends: {CONFIGS}/latent-nerf-rgb.yaml
  - extends: {CONFIGS}/latent-paint.yaml
    system: {{geometry: {{path: previous/mesh.glb, start: wood.png}}}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    register_parts()
    (tmp_path / "recipe.yaml").write_text(STAGES)
    return tmp_path / "recipe.yaml"


def faults_of(path: Path, *overrides: str) -> list[str]:
    with pytest.raises(UserError) as error:
        read_stages(path, overrides)
    return str(error.value).splitlines()


def test_a_stage_says_more_than_the_whole_and_the_whole_more_than_what_is_extended(path: Path):
    field, colours, paint = read_stages(path)
    assert [recipe.system.part.part_name for recipe in (field, colours, paint)] == [
        "latent-nerf",
        "latent-nerf-rgb",
        "latent-paint",
    ]
    assert {(recipe.prompt, recipe.seed) for recipe in (field, colours, paint)} == {("a green car", 5)}
    assert (field.trainer.max_steps, field.trainer.preview_every) == (30, 8)
    assert (colours.trainer.max_steps, colours.trainer.preview_every) == (200, 7)


def test_a_stage_goes_on_from_the_one_before(path: Path, tmp_path: Path):
    field, colours, paint = read_stages(path)
    assert (field.start_from, colours.start_from, paint.start_from) == (None, Path("previous"), None)
    assert paint.system.config.geometry.config.path == Path("previous/mesh.glb")
    assert paint.system.config.geometry.config.start == tmp_path / "wood.png"
    assert with_previous(colours, tmp_path / "1").start_from == tmp_path / "1"
    assert with_previous(paint, tmp_path / "2").system.config.geometry.config.path == tmp_path / "2" / "mesh.glb"


def test_overrides_are_of_all_stages_or_of_one(path: Path):
    steps = [r.trainer.max_steps for r in read_stages(path, ["trainer.max_steps=9", "stages.1.trainer.max_steps=4"])]
    assert steps == [9, 4, 9]
    assert [r.seed for r in read_stages(path, ["seed=2"])] == [2, 2, 2]


def test_what_was_read_is_read_again_as_it_was(path: Path, tmp_path: Path):
    recipes = read_stages(path)
    (tmp_path / "again").mkdir()
    again = tmp_path / "again" / "recipe.yaml"
    again.write_text(dump_stages(recipes))
    assert tuple(replace(recipe, prompt="a green car") for recipe in read_stages(again)) == recipes, (
        "but for the prompt"
    )


def test_a_recipe_without_stages_is_one(path: Path):
    (only,) = read_stages(CONFIGS / "latent-nerf.yaml")
    assert isinstance(only, Recipe)


def test_faults_name_their_stage(path: Path):
    said = faults_of(path, "stages.0.trainer.max_stps=3", "stages.1.trainer.max_steps=0", "stages.3.seed=1")
    assert said == [
        "stages.3.seed: no such stage; there are 3, from 0 on",
        "stages.0: trainer.max_stps: no such setting of TrainerConfig. Did you mean 'max_steps'?",
        "stages.1: trainer.max_steps: from 1 to 10^9, got 0",
    ]
    path.write_text("stages: []")
    assert "stages: expected a list of recipes" in faults_of(path)[0]
    path.write_text(
        f"stages: [{{extends: {CONFIGS}/latent-paint.yaml, system: {{geometry: {{path: previous/a.glb}}}}}}]"
    )
    assert faults_of(path) == [
        "stages.0: system.geometry.path: 'previous/a.glb' is of the stage before, and this is the first one"
    ]


def test_brackets_mean_what_dots_mean(path: Path):
    assert [r.trainer.max_steps for r in read_stages(path, ["stages[0].trainer.max_steps=4"])] == [4, 200, 350]


def test_an_override_that_says_no_setting_of_a_stage_is_a_fault(path: Path):
    assert faults_of(path, "stages.0=3") == ["stages.0: say which setting of it, such as stages.0.trainer.max_steps=10"]
    assert faults_of(path, "stages=3") == ["stages: no such stage; there are 3, from 0 on"]


@pytest.mark.parametrize("exporters", ["[]", "[{type: contact-sheet}, {type: turntable}]"])
def test_a_file_that_the_stage_before_does_not_write_is_a_fault(path: Path, exporters: str):
    said = faults_of(path, f"stages.1.exporters={exporters}")
    assert said == [
        "stages.2: system.geometry.path: 'previous/mesh.glb' will not be there: "
        "no exporter of the stage before writes it"
    ]
    assert len(read_stages(path, ["stages.0.exporters=[]"])) == 3, "a run that is gone on with needs none"


def test_an_exporter_that_does_not_fit_its_stage_is_a_fault(path: Path):
    fault = faults_of(path, "stages.2.exporters=[{type: mesh}]", "seed=-1")[-1]
    assert fault.startswith("stages.2: exporters.0: 'mesh' cannot export 'textured-mesh'; it takes: hash-grid, ")

"""Copies of what a run reads: whole, relative to the run, and never exchanged behind its back."""

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.api import Run, train
from app.inputs import keep_inputs, with_copies
from app.run_folder import make_run_folder, write_recipe
from core.errors import UserError
from core.kinds import System
from core.part import Choice
from core.paths import FolderOrName
from core.recipe import Recipe, read_recipe
from tests.app.small_command import EXAMPLE, small_overrides


@pytest.fixture
def recipe(registry: None, tmp_path: Path) -> Recipe:
    """One that reads a mesh with companions, and a folder of pictures with a run in it."""

    class Method(System, name="test-method"):
        @dataclass(frozen=True)
        class Config:
            mesh: Path
            pictures: Path | None = None
            model: FolderOrName = "toybox"

    home = tmp_path / "home"
    for name, text in {
        "ball.obj": "mtllib ball.mtl\nv 0 0 0\n",
        "ball.mtl": "map_Kd tex/ball.png\n",
        "tex/ball.png": "red",
        "ball.txt": "not asked for",
        "views/0.png": "0",
        "views/deep/1.png": "1",
        "views/runs/a-ball/recipe.yaml": "a run",
    }.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(text)
    return Recipe(Choice.of(Method, mesh=home / "ball.obj", pictures=home / "views"), start_from=home / "views")


@pytest.fixture
def folder(recipe: Recipe, tmp_path: Path) -> Path:
    """The folder of a run that has its copies."""
    made = make_run_folder(tmp_path / "runs", recipe)
    write_recipe(made, keep_inputs(recipe, made))
    return made


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_copy_is_whole_and_holds_nothing_else(recipe: Recipe, folder: Path) -> None:
    assert names_in(folder / "inputs") == {
        "inputs.json",
        "system.mesh/ball.obj",
        "system.mesh/ball.mtl",
        "system.mesh/tex/ball.png",
        "system.pictures/views/0.png",
        "system.pictures/views/deep/1.png",
    }
    assert (folder / "inputs/system.mesh/tex/ball.png").read_text() == "red"


def test_digests_are_those_of_sha256(folder: Path) -> None:
    index = json.loads((folder / "inputs" / "inputs.json").read_text())
    # printf red | sha256sum
    red = "b1f51a511f1da0cd348b8f8598db32e61cb963e5fc69e2b41485bf99590ed75a"
    assert index["system.mesh"]["sha256"]["tex/ball.png"] == red


def test_a_run_that_was_moved_reads_its_copies_without_the_originals(
    recipe: Recipe, folder: Path, tmp_path: Path
) -> None:
    moved = folder.rename(tmp_path / "moved")
    shutil.rmtree(tmp_path / "home")
    again = with_copies(read_recipe(moved / "recipe.yaml"), moved)
    assert again.system.config.mesh == moved / "inputs/system.mesh/ball.obj"
    assert again.system.config.pictures == moved / "inputs/system.pictures/views"


def test_the_command_s_own_recipe_reads_the_copies_too(recipe: Recipe, folder: Path) -> None:
    assert with_copies(recipe, folder).system.config.mesh == folder / "inputs/system.mesh/ball.obj"
    assert with_copies(recipe, folder).start_from == recipe.start_from


@pytest.mark.parametrize("name", ["ball.obj", "ball.mtl", "tex/ball.png"])
def test_an_original_that_was_edited_is_no_longer_what_the_run_was_made_from(
    name: str, recipe: Recipe, folder: Path
) -> None:
    original = recipe.system.config.mesh
    with (original.parent / name).open("a") as file:
        file.write("\n# edited\n")
    with pytest.raises(UserError, match=f"^system.mesh: {original} is not what {folder} was made from; leave it out"):
        with_copies(recipe, folder)
    assert with_copies(read_recipe(folder / "recipe.yaml"), folder), "the run itself is as it was"


@pytest.mark.parametrize("change", ["edit", "remove"])
def test_a_copy_that_has_changed_is_refused(change: str, recipe: Recipe, folder: Path) -> None:
    copy = folder / "inputs/system.mesh/ball.mtl"
    copy.unlink()
    if change == "edit":
        copy.write_text("map_Kd other.png\n")
    with pytest.raises(UserError, match=r"ball\.obj: has changed since the run was made; put the original back"):
        with_copies(recipe, folder)


def test_a_run_without_copies_reads_the_original_and_says_so_once_for_each(
    recipe: Recipe, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.rmtree(folder / "inputs")
    with caplog.at_level(logging.INFO, logger="app.inputs"):
        assert with_copies(recipe, folder) == recipe
    assert len(caplog.messages) == 2
    assert "made before runs kept copies; system.mesh is read where it lies" in caplog.messages[0]


@pytest.mark.parametrize("index", ['["ball"]', "{", '{"system.mesh": {"name": "../../ball.obj", "sha256": {}}}'])
def test_a_broken_index_is_a_clear_fault(index: str, recipe: Recipe, folder: Path) -> None:
    (folder / "inputs" / "inputs.json").write_text(index)
    with pytest.raises(UserError, match=r"inputs\.json: not a readable index of the run's inputs"):
        with_copies(recipe, folder)


def test_a_trained_run_goes_on_and_exports_after_its_pictures_are_gone(tmp_path: Path) -> None:
    overrides = small_overrides(tmp_path / "ball")
    run = train(EXAMPLE, "a ball", overrides=overrides, out=tmp_path / "runs")
    shutil.rmtree(tmp_path / "ball")
    moved = run.folder.rename(tmp_path / "elsewhere")
    sheet = (moved / "contact_sheet.png").read_bytes()
    (moved / "contact_sheet.png").unlink()
    assert Run.load(moved).export() == [moved / "contact_sheet.png"]
    assert (moved / "contact_sheet.png").read_bytes() == sheet
    assert train(moved / "recipe.yaml", overrides=["trainer.max_steps=5"], resume=moved).step == 5

"""Relative paths of a recipe: from the file that says them, on the command line from the current folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from core.kinds import System
from core.located import FolderOrName, Located, located, unlocated, with_places
from core.recipe import Recipe, dump_recipe, load_recipe, read_recipe


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder of a test, with nothing in it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def method(registry: None) -> None:
    class Method(System, name="test-method"):
        @dataclass(frozen=True)
        class Config:
            mesh: Path
            others: tuple[Path, ...] = ()
            maybe: Path | None = None
            kind: Literal["soft", "strict"] = "soft"
            note: str = ""


def read(path: Path, *overrides: str) -> Any:
    return read_recipe(load_recipe(path, overrides))


def test_a_path_starts_from_the_file_that_says_it(tmp_path: Path, elsewhere: Path, method: None):
    """Three places: a base in another folder, the recipe itself, the command line."""
    write(tmp_path / "base" / "a.yaml", "system: {type: test-method, mesh: ../meshes/a.obj, others: [b.obj, /c.obj]}\n")
    text = "extends: ../base/a.yaml\nsystem: {maybe: d.obj, kind: strict, note: d.obj}\n"
    top = write(tmp_path / "mine" / "top.yaml", text)
    config = read(top).system.config
    assert config.mesh == tmp_path / "meshes" / "a.obj"
    assert config.others == (tmp_path / "base" / "b.obj", Path("/c.obj"))
    assert config.maybe == tmp_path / "mine" / "d.obj"
    assert (config.kind, config.note) == ("strict", "d.obj"), "what is no path stays as it is"
    assert type(config.note) is str
    given = read(top, "system.mesh=e.obj", "system.maybe=../f.obj").system.config
    assert (given.mesh, given.maybe) == (elsewhere / "e.obj", tmp_path / "f.obj")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("./mine", "{recipe}/mine"),
        ("sub/mine", "{recipe}/sub/mine"),
        ("owner/model", "owner/model"),
        ("mine", "mine"),
        ("/abs/model", "/abs/model"),
    ],
)
def test_a_folder_or_a_name_is_a_folder_where_it_has_a_slash_and_there_is_one(
    said: str, meant: str, tmp_path: Path, elsewhere: Path, registry: None
):
    """`mine` is a name although a folder beside the recipe is called so: an alias may not change with the folder."""

    class Model(System, name="test-model"):
        @dataclass(frozen=True)
        class Config:
            model: FolderOrName
            maybe: FolderOrName | None = None

    (tmp_path / "mine").mkdir()
    (tmp_path / "sub" / "mine").mkdir(parents=True)
    top = write(tmp_path / "top.yaml", f"system: {{type: test-model, model: {said}}}\n")
    recipe = read(top)
    assert recipe.system.config.model == meant.format(recipe=tmp_path)
    assert type(recipe.system.config.model) is str
    assert recipe.system.config.maybe is None
    given = read(top, "system.maybe=../mine").system.config
    assert given.maybe == str(tmp_path / "mine"), "on the command line, from the current folder"


def test_an_interpolated_path_starts_from_where_it_is_asked_for(tmp_path: Path, elsewhere: Path, method: None):
    write(tmp_path / "base" / "a.yaml", "system: {type: test-method, note: meshes}\n")
    top = write(tmp_path / "top.yaml", "extends: base/a.yaml\nsystem: {mesh: '${system.note}/a.obj'}\n")
    assert read(top).system.config.mesh == tmp_path / "meshes" / "a.obj"


def test_the_resolved_recipe_means_the_same_everywhere(
    tmp_path: Path, elsewhere: Path, method: None, monkeypatch: pytest.MonkeyPatch
):
    top = write(tmp_path / "top.yaml", "system: {type: test-method, mesh: a.obj}\nstart_from: runs/first\n")
    recipe: Recipe = read(top, "system.maybe=b.obj")
    assert recipe.start_from == tmp_path / "runs" / "first"
    resolved = write(tmp_path / "runs" / "second" / "recipe.yaml", dump_recipe(recipe))
    monkeypatch.chdir(tmp_path)
    assert read(resolved) == recipe


def test_recipes_of_old_runs_still_find_what_lies_in_the_current_folder(tmp_path: Path, elsewhere: Path, method: None):
    top = write(tmp_path / "run" / "recipe.yaml", "system: {type: test-method, mesh: sketches/a.obj}\n")
    assert read(top).system.config.mesh == tmp_path / "run" / "sketches" / "a.obj"
    write(elsewhere / "sketches" / "a.obj")
    assert read(top).system.config.mesh == elsewhere / "sketches" / "a.obj"
    write(tmp_path / "run" / "sketches" / "a.obj")
    assert read(top).system.config.mesh == tmp_path / "run" / "sketches" / "a.obj", "the file's own folder wins"


def test_trees_keep_their_content():
    tree = {"a": ["x", 1, None, {"b": "y"}], 3: True}
    marked = located(tree, Path("/there"))
    assert marked == tree
    assert isinstance(marked["a"][3]["b"], Located)
    assert unlocated(marked) == tree
    assert type(unlocated(marked)["a"][0]) is str
    branch = with_places({"c": {"d": ["z"]}}, {"c": Located("${e}", Path("/there"))})
    assert branch["c"]["d"][0].folder == Path("/there"), "a whole branch from one interpolation"

"""Relative paths of a recipe: from the file that holds them, on the command line from the current folder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from core.kinds import System
from core.part import Choice
from core.paths import FolderOrName, folder_of, map_paths
from core.recipe import Recipe, dump_recipe, read_recipe
from core.recipe_layers import file_layers


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


def config(path: Path, *overrides: str) -> Any:
    return read_recipe(path, overrides).system.config


def test_a_path_starts_from_the_file_that_holds_it(tmp_path: Path, elsewhere: Path, method: None):
    """Three places: a base in another folder, the recipe itself, the command line."""
    write(tmp_path / "base" / "a.yaml", "system: {type: test-method, mesh: ../meshes/a.obj, others: [b.obj, /c.obj]}\n")
    text = "extends: ../base/a.yaml\nsystem: {maybe: d.obj, kind: strict, note: d.obj}\n"
    top = write(tmp_path / "mine" / "top.yaml", text)
    read = config(top)
    assert read.mesh == tmp_path / "meshes" / "a.obj"
    assert read.others == (tmp_path / "base" / "b.obj", Path("/c.obj"))
    assert read.maybe == tmp_path / "mine" / "d.obj"
    assert (read.kind, read.note) == ("strict", "d.obj"), "what is no path stays as it is"
    given = config(top, "system.mesh=e.obj", "system.maybe=../f.obj")
    assert (given.mesh, given.maybe) == (elsewhere / "e.obj", tmp_path / "f.obj")
    element = config(top, "system.others.1=g.obj")
    assert element.others == (tmp_path / "base" / "b.obj", elsewhere / "g.obj"), "one element of a list"


def test_a_layer_that_is_replaced_gives_no_folder(tmp_path: Path, elsewhere: Path, method: None):
    """The same list, written anew in another folder."""
    write(tmp_path / "base" / "a.yaml", "system: {type: test-method, mesh: a.obj, others: [b.obj, c.obj]}\n")
    top = write(tmp_path / "top.yaml", "extends: base/a.yaml\nsystem: {others: [b.obj]}\n")
    assert config(top).others == (tmp_path / "b.obj",)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("./mine", "{recipe}/mine"),
        ("sub/mine", "{recipe}/sub/mine"),
        ("owner/model", "owner/model"),
        ("mine", "mine"),
        ("/abs/model", "/abs/model"),
    ],
)
def test_a_folder_or_a_name_is_a_folder_where_it_has_a_slash_and_there_is_one(
    written: str, meant: str, tmp_path: Path, elsewhere: Path, registry: None
):
    """`mine` is a name although a folder beside the recipe is called so: an alias may not change with the folder."""

    class Model(System, name="test-model"):
        @dataclass(frozen=True)
        class Config:
            model: FolderOrName
            maybe: FolderOrName | None = None

    (tmp_path / "mine").mkdir()
    (tmp_path / "sub" / "mine").mkdir(parents=True)
    top = write(tmp_path / "top.yaml", f"system: {{type: test-model, model: {written}}}\n")
    assert config(top).model == meant.format(recipe=tmp_path)
    assert config(top).maybe is None
    assert config(top, "system.maybe=../mine").maybe == str(tmp_path / "mine"), "from the current folder"


@pytest.mark.parametrize("branch", ["system: {mesh: '${base}/a.obj'}", "system: '${whole}'"])
def test_an_interpolated_path_starts_from_where_it_is_asked_for(
    branch: str, tmp_path: Path, elsewhere: Path, method: None
):
    """A text, or a whole branch, of which nothing stood in the file that asks."""
    whole = "whole: {type: test-method, mesh: meshes/a.obj}\nbase: meshes\n"
    write(tmp_path / "base" / "a.yaml", f"{whole}system: {{type: test-method, mesh: b.obj}}\n")
    top = write(tmp_path / "top.yaml", f"extends: base/a.yaml\n{branch}\n")
    assert folder_of(file_layers(top), "system.mesh") == tmp_path


def test_the_resolved_recipe_means_the_same_everywhere(
    tmp_path: Path, elsewhere: Path, method: None, monkeypatch: pytest.MonkeyPatch
):
    top = write(tmp_path / "top.yaml", "system: {type: test-method, mesh: a.obj}\nstart_from: runs/first\n")
    recipe: Recipe = read_recipe(top, ["system.maybe=b.obj"])
    assert recipe.start_from == tmp_path / "runs" / "first"
    resolved = write(tmp_path / "runs" / "second" / "recipe.yaml", dump_recipe(recipe))
    monkeypatch.chdir(tmp_path)
    assert read_recipe(resolved) == recipe


def test_recipes_of_old_runs_still_find_what_lies_in_the_current_folder(tmp_path: Path, elsewhere: Path, method: None):
    top = write(tmp_path / "run" / "recipe.yaml", "system: {type: test-method, mesh: sketches/a.obj}\n")
    assert config(top).mesh == tmp_path / "run" / "sketches" / "a.obj"
    write(elsewhere / "sketches" / "a.obj")
    assert config(top).mesh == elsewhere / "sketches" / "a.obj"
    write(tmp_path / "run" / "sketches" / "a.obj")
    assert config(top).mesh == tmp_path / "run" / "sketches" / "a.obj", "the file's own folder wins"


@dataclass(frozen=True)
class Nested:
    """Paths of each sort that a Config may hold."""

    path: Path
    by_name: dict[str, Path] = field(default_factory=dict)
    model: FolderOrName = "toybox"
    note: str = "toybox"


def test_every_path_is_visited_with_its_key_and_nothing_else_changes(registry: None):
    class Method(System, name="test-method"):
        Config = Nested

    recipe = Recipe(Choice(Method, Nested(Path("a"), {"b": Path("c")})), start_from=Path("run"))
    visited: dict[str, Any] = {}

    def change(key: str, value: Any) -> Any:
        visited[key] = value
        return value / "x" if isinstance(value, Path) else value

    changed = map_paths(recipe, change)
    assert visited == {
        "system.path": Path("a"),
        "system.by_name.b": Path("c"),
        "system.model": "toybox",
        "start_from": Path("run"),
    }
    assert changed.system.config == Nested(Path("a/x"), {"b": Path("c/x")})
    assert changed.trainer is recipe.trainer


@pytest.mark.parametrize(
    "name",
    [
        "my car #2.glb",
        "#1.glb",
        "[free] car.glb",
        "{a}.glb",
        "*.glb",
        "car: v2.glb",
        "a ${b}.glb",
        "'q'.glb",
        "1",
        "ü~.glb",
    ],
)
def test_a_path_on_the_command_line_is_taken_as_it_was_typed(name: str, tmp_path: Path, elsewhere: Path, method: None):
    """A parser of YAML would cut it off, refuse it, or take it for a list, a mapping, an interpolation or a number."""
    top = write(tmp_path / "top.yaml", "system: {type: test-method, mesh: a.obj, others: [b.obj]}\n")
    assert config(top, f"system.mesh={name}").mesh == elsewhere / name
    assert config(top, f"system.maybe={name}").maybe == elsewhere / name
    assert config(top, f"system.others[0]={name}").others == (elsewhere / name,)
    assert config(top, "system.maybe=null").maybe is None, "but for the word that takes a setting back"
    assert config(top, "system.others=[c.obj]").others == (elsewhere / "c.obj",), "a list is no path"


def test_a_tilde_is_the_home_folder(
    tmp_path: Path, elsewhere: Path, method: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    top = write(tmp_path / "top.yaml", "system: {type: test-method, mesh: ~/a.obj}\n")
    assert config(top).mesh == tmp_path / "home" / "a.obj"
    assert config(top, "system.mesh=~/b c.obj").mesh == tmp_path / "home" / "b c.obj"

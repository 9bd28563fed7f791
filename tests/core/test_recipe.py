"""Recipes: what wins over what, what a resolved recipe reads like, and what faults say."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from core.environment import escaped
from core.errors import UserError, require
from core.kinds import Exporter, System
from core.part import names
from core.recipe import check_recipe, dump_recipe, read_recipe, with_named_exporters
from core.recipe_layers import Overrides, file_layers, merge_layers
from core.schedule import Schedule


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def tree(path: Path, overrides: Sequence[str] = ()) -> Any:
    """What a recipe's files and overrides say together, not yet checked."""
    return merge_layers([*file_layers(path), Overrides(tuple(overrides), Path.cwd()).layer()], str(path))


def test_extends_overrides_and_interpolation(tmp_path: Path) -> None:
    write(tmp_path, "base/a.yaml", "trainer: {max_steps: 100, preview_every: 7}\nsystem: {x: 1, y: [1, 2]}\n")
    write(tmp_path, "base/b.yaml", "system: {x: 2, z: 5}\n")
    top = write(
        tmp_path, "top.yaml", "extends: [base/a.yaml, base/b.yaml]\nsystem: {y: [3], steps: '${trainer.max_steps}'}\n"
    )
    assert tree(top, ["trainer.max_steps=20", "system.new.deep=[1, a]"]) == {
        "trainer": {"max_steps": 20, "preview_every": 7},
        "system": {"x": 2, "y": [3], "z": 5, "steps": 20, "new": {"deep": [1, "a"]}},
    }


def test_one_element_of_a_list_can_be_overridden(tmp_path: Path) -> None:
    top = write(tmp_path, "top.yaml", "exporters: [{type: mesh, format: glb}, {type: video}]\n")
    loaded = tree(top, ["exporters.0.format=obj", "exporters.1.seconds=3"])
    assert loaded["exporters"] == [{"type": "mesh", "format": "obj"}, {"type": "video", "seconds": 3}]
    with pytest.raises(UserError, match=r"^exporters\.2: no such element of exporters; its elements are 0 to 1$"):
        tree(top, ["exporters.2.format=obj"])


PLUGIN = """
from dataclasses import dataclass
from core.kinds import System

class Method(System, name="test-{name}"):
    @dataclass(frozen=True)
    class Config:
        note: str = ""
"""


def test_plugins_are_loaded_from_where_they_are_named(
    tmp_path: Path, registry: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a base of another folder, and on the command line; both go into the recipe that a run keeps."""
    for name in ("base/one", "two"):
        write(tmp_path, f"{name}.py", PLUGIN.format(name=Path(name).name))
    write(tmp_path, "base/a.yaml", "plugins: [one.py]\n")
    top = write(tmp_path, "top.yaml", "extends: base/a.yaml\nsystem: {type: test-two}\n")
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(top, plugins=[Path("two.py")])
    assert recipe.plugins == (tmp_path / "base" / "one.py", tmp_path / "two.py")
    assert {"test-one", "test-two"} <= set(names("system", System))


@pytest.mark.parametrize("text", ["${home}", "\\${home}", "\\\\${home}", "a ${b} ${c}", "plain $5 {x}", "C:\\d"])
def test_texts_with_dollars_survive_writing_and_reading(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "resolved.yaml", OmegaConf.to_yaml(OmegaConf.create(escaped({"a": [text]}))))
    assert tree(path) == {"a": [text]}


def test_a_circle_of_extends_is_named(tmp_path: Path) -> None:
    write(tmp_path, "a.yaml", "extends: b.yaml\n")
    write(tmp_path, "b.yaml", "extends: a.yaml\n")
    with pytest.raises(UserError, match=r"`extends` goes in a circle: a\.yaml -> b\.yaml -> a\.yaml"):
        tree(tmp_path / "a.yaml")


def test_a_missing_recipe_is_answered_with_the_nearest_file(tmp_path: Path) -> None:
    write(tmp_path, "latent-nerf.yaml", "seed: 1\n")
    with pytest.raises(UserError, match=r"latent-nrf\.yaml: no such recipe\. Did you mean '.*/latent-nerf\.yaml'\?"):
        tree(tmp_path / "latent-nrf.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1\n", "not a readable YAML file"),
        ("a: 1\na: 2\n", "found duplicate key a"),
        ("- 1\n", "expected a mapping with `system`, got a list"),
        ("a: ${nowhere.b}\n", "Interpolation key 'nowhere.b' not found"),
        ("extends: 3\n", "extends: expected a recipe file or a list of them, got 3"),
    ],
)
def test_broken_files_are_refused_with_a_single_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        tree(write(tmp_path, "broken.yaml", text))
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("override", ["mushroom", "=3", "a b=3", "a=[1"])
def test_broken_overrides_are_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"'{override}': ")):
        tree(write(tmp_path, "a.yaml", "seed: 1\n"), [override])


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"seed": -1, "trainer": {"max_steps": 0}}, "trainer.max_steps: from 1 to 10^9, got 0"),
        ({"sytem": {}}, "sytem: no such setting of a recipe. Did you mean 'system'?"),
        ({"trainer": {"precision": "fp16"}}, "trainer.precision: 'fp16' is not valid."),
        ({}, "system: missing. Give it in the recipe or as system=VALUE"),
    ],
)
def test_faults_of_a_recipe(mapping: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        check_recipe(mapping)


def test_all_faults_of_a_recipe_are_told_at_once_ranges_too(registry: None) -> None:
    """Also of a Config that lacks what it needs, and of the trainer beside an unknown word."""

    class Method(System, name="test-method"):
        @dataclass(frozen=True)
        class Config:
            model: str
            scale: float = 1.0
            n_views: int = 4

            def __post_init__(self) -> None:
                require(len(self.model) > 0, "model: not empty")  # is absent here
                require(self.scale >= 0, f"scale: at least 0, got {self.scale:g}")

    _exporters()
    mapping = {
        "system": {"type": "test-method", "n_veiws": 3, "model": "m", "scale": -1},
        "trainer": {"max_steps": 0, "preview_every": -1, "precision": "16"},
        "exporters": [{"type": "test-sheet"}, {"type": "test-body", "n_views": "x"}],
        "exporter": {"formt": "obj"},
        "seed": -1,
        "sed": 1,
    }
    with pytest.raises(UserError) as caught:
        check_recipe(mapping)
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        "exporter.formt",
        "sed",
        "system.n_veiws",
        "system.scale",
        "trainer.precision",
        "trainer.max_steps",
        "trainer.preview_every",
        "exporters.1.n_views",
        "seed",
    ]


def test_a_resolved_recipe_reads_back_as_the_same_recipe(tmp_path: Path, registry: None) -> None:
    class Method(System, name="test-method"):
        @dataclass(frozen=True)
        class Config:
            folder: str = "here"
            weight: Schedule = Schedule.constant(1.0)

    mapping = {
        "system": {"type": "test-method", "folder": "${home}", "weight": {"start": 1, "end": 0}},
        "trainer": {"max_steps": 12, "gradient_clip": 1e-15},
        "seed": 4,
    }
    recipe = check_recipe(mapping)
    again = read_recipe(write(tmp_path, "resolved.yaml", dump_recipe(recipe)))
    assert again == recipe
    assert again.system.part is Method
    assert again.system.config.weight.at(3, 12) == 0.75


def test_the_prompt_stays_out_of_the_resolved_recipe(registry: None) -> None:
    class Method(System, name="test-method"):
        @dataclass(frozen=True)
        class Config:
            pass

    recipe = check_recipe({"system": {"type": "test-method"}, "prompt": "a [red: dragon"})
    assert recipe.prompt == "a [red: dragon"
    assert "dragon" not in dump_recipe(recipe)


def _exporters() -> None:
    class Sheet(Exporter, name="test-sheet"):
        @dataclass(frozen=True)
        class Config:
            n_views: int = 4

    class Body(Exporter, name="test-body"):
        @dataclass(frozen=True)
        class Config:
            format: str = "glb"
            n_views: int = 24


def test_a_setting_of_the_exporters_goes_to_those_that_have_it(registry: None, tmp_path: Path) -> None:
    class Method(System, name="test-method"):
        @dataclass(frozen=True)
        class Config:
            pass

    _exporters()
    text = "system: {type: test-method}\nexporters: [{type: test-sheet}, {type: test-body}]\n"
    path = write(tmp_path, "a.yaml", text)
    recipe = read_recipe(path, ["exporter.format=obj"])
    assert recipe.exporters[1].config.format == "obj"
    both = read_recipe(path, ["exporter.n_views=7"])
    assert [choice.config.n_views for choice in both.exporters] == [7, 7]
    assert "exporter:" not in dump_recipe(recipe)


@pytest.mark.parametrize(
    ("overrides", "chosen"),
    [
        (["exporter.format=obj"], ["test-body"]),
        (["exporter.n_views=7"], ["test-sheet", "test-body"]),
        (["exporters.0.n_views=7"], ["test-sheet"]),
        (["exporter.format=obj", "seed=3"], ["test-sheet", "test-body"]),
        ([], ["test-sheet", "test-body"]),
    ],
)
def test_settings_of_an_exporter_name_it(
    registry: None, tmp_path: Path, overrides: list[str], chosen: list[str]
) -> None:
    class Method(System, name="test-method"):
        @dataclass(frozen=True)
        class Config:
            pass

    _exporters()
    text = "system: {type: test-method}\nexporters: [{type: test-sheet}, {type: test-body}]\n"
    recipe = read_recipe(write(tmp_path, "a.yaml", text), overrides)
    named = with_named_exporters(recipe, overrides).exporters
    assert [choice.part.part_name for choice in named] == chosen


def test_a_setting_that_no_exporter_has_is_answered_with_the_nearest(registry: None) -> None:
    _exporters()
    mapping = {"exporters": [{"type": "test-sheet"}, {"type": "test-body"}], "exporter": {"formt": "obj"}}
    with pytest.raises(UserError, match=r"exporter.formt: no exporter of this recipe has .* Did you mean 'format'\?"):
        check_recipe(mapping)

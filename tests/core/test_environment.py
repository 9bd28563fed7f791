"""What names the environment is used by value and written by name."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from core.environment import as_shown, as_written, from_environment, values_hidden
from core.errors import MachineError, UserError
from core.recipe import read_recipe
from core.recipe_layers import SHIPPED

CASES: list[tuple[Any, Any]] = [
    ({"a": "${oc.env:WHO} thing"}, {"a": "${oc.env:WHO} thing"}),
    ({"a": "${ oc.env:WHO }"}, {"a": "${oc.env:WHO}"}),
    ({"a": "${oc.env:NONE,'x, y'}"}, {"a": "${oc.env:NONE,'x, y'}"}),
    ({"a": "${oc.decode:${oc.env:N}}"}, {"a": "${oc.decode:${oc.env:N}}"}),
    ({"a": ["x", {"b": "${oc.env:WHO}"}]}, {"a": ["x", {"b": "${oc.env:WHO}"}]}),
    ({"a": "${b}", "b": "${oc.env:WHO}"}, {"a": "${oc.env:WHO}", "b": "${oc.env:WHO}"}),
    ({"a": "${b}", "b": {"c": "${oc.env:WHO}"}}, {"a": {"c": "${oc.env:WHO}"}, "b": {"c": "${oc.env:WHO}"}}),
    ({"a": "\\${oc.env:WHO}"}, {"a": "\\${oc.env:WHO}"}),
    ({"a": "\\\\${oc.env:WHO}"}, {"a": "\\\\${oc.env:WHO}"}),
    ({"a": "x", "n": 3, "z": None}, {"a": "x", "n": 3, "z": None}),
]


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHO", "hunter2")
    monkeypatch.setenv("N", "12")


def resolved(tree: Any) -> Any:
    return OmegaConf.to_container(OmegaConf.create(tree), resolve=True)


@pytest.mark.parametrize(("tree", "written"), CASES)
def test_a_tree_is_written_by_names_and_means_the_same_again(tree: Any, written: Any):
    named = from_environment(tree)
    assert as_written(resolved(tree), named) == written
    assert resolved(as_written(resolved(tree), named)) == resolved(tree)
    assert "hunter2" not in str(as_shown(resolved(tree), named))


def test_a_value_that_was_changed_since_is_written_as_it_is():
    named = from_environment({"a": "${oc.env:WHO}"})
    assert as_written({"a": "another"}, named) == {"a": "another"}


def test_what_is_said_for_all_exporters_stands_with_each():
    named = from_environment({"exporter": {"format": "${oc.env:WHO}"}})
    tree = {"exporters": [{"format": "hunter2"}, {"format": "glb"}]}
    assert as_written(tree, named) == {"exporters": [{"format": "${oc.env:WHO}"}, {"format": "glb"}]}


def test_a_text_without_names_costs_nothing(tmp_path: Path):
    assert from_environment({"a": "${b}", "b": "x"}) == []


@pytest.mark.parametrize(
    ("value", "error", "shown"),
    [
        ("hunter2", "seed: expected an integer, got 'hunter2'", "seed: expected an integer, got '${oc.env:WHO}'"),
        ("hunter2", "a: no geometry 'my hunter2 field'", "a: no geometry 'my ${oc.env:WHO} field'"),
        ("it's \t7", 'seed: expected an integer, got "it\'s \\t7"', 'seed: expected an integer, got "${oc.env:WHO}"'),
        ("7", "n_levels: from 1 to 17, got '7'; 7 is low", "n_levels: from 1 to 17, got '${oc.env:WHO}'; 7 is low"),
        ("7", "n_levels: from 1 to 17, got 7", "n_levels: from 1 to 17, got ${oc.env:WHO}"),
        ("old", "seed: the oldest number", "seed: the oldest number"),
        ("", "seed: expected an integer, got ''", "seed: expected an integer, got ''"),
    ],
)
def test_errors_show_names(value: str, error: str, shown: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WHO", value)
    for said in ("{'seed': '${oc.env:WHO}'}", '["seed=${ oc.env:WHO,3 }"]', "{'seed': \"${oc.env:'WHO'}\"}"):
        with pytest.raises(UserError) as caught, values_hidden(said):
            raise MachineError(error) from ValueError(error)
        assert (str(caught.value), type(caught.value)) == (shown, MachineError)
        assert (caught.value.__cause__ is None) == (shown != error)
    with pytest.raises(UserError) as caught, values_hidden("{'seed': 3}"):
        raise UserError(error)
    assert str(caught.value) == error


@pytest.mark.parametrize(
    "setting", ["seed", "trainer.precision", "system.type", "trainer", "trainer.logger", "exporters"]
)
@pytest.mark.parametrize("form", ["${{oc.env:{}}}", "${{oc.decode:${{oc.env:{}}}}}"])
def test_no_recipe_shows_a_value(setting: str, form: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WHO", "hunter2 [: {")
    with pytest.raises(UserError) as caught:
        read_recipe(SHIPPED / "latent-nerf.yaml", [f"{setting}={form.format('WHO')}"])
    assert setting in str(caught.value)
    assert "hunter2" not in str(caught.value)

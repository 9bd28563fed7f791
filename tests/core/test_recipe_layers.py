"""What wins over what: parts and schedules as a whole, mappings key by key, elements of lists by number."""

import re
from dataclasses import dataclass
from typing import Any

import pytest

from core.errors import UserError
from core.part import Part
from core.recipe_layers import merge
from core.schedule import Schedule

RAMP = {"start": 1.0, "end": 0.5, "from": 0.0, "to": 0.7, "shape": "cosine"}
POINTS = {"points": [[0.0, 1.0], [0.2, 0.3], [1.0, 0.0]], "shape": "linear"}


class Lens(Part, kind="test-lens"):
    """A kind of these tests."""


class Plain(Lens, name="plain"):
    """One part."""

    @dataclass(frozen=True)
    class Config:
        width: int = 1
        tint: str = "none"
        only: float = 0.0


class Wide(Lens, name="wide"):
    """Another one: `tint` is of another sort there."""

    @dataclass(frozen=True)
    class Config:
        width: int = 2
        tint: float | None = None
        more: int = 0


def test_another_type_keeps_what_both_parts_have() -> None:
    base = {"lens": {"type": "plain", "width": 5, "tint": "red", "only": 1.0}}
    assert merge(base, {"lens": {"type": "wide"}}) == {"lens": {"width": 5, "type": "wide"}}
    assert merge(base, {"lens": {"type": "wide", "width": 6}}) == {"lens": {"width": 6, "type": "wide"}}


def test_another_type_of_an_unknown_part_replaces_all_settings() -> None:
    base = {"geometry": {"type": "hash-grid", "n_levels": 8}, "seed": 1}
    assert merge(base, {"geometry": {"type": "voxels", "n": 3}}) == {"geometry": {"type": "voxels", "n": 3}, "seed": 1}
    same = merge(base, {"geometry": {"type": "hash-grid", "bound": 1}})
    assert same["geometry"] == {"type": "hash-grid", "n_levels": 8, "bound": 1}


@pytest.mark.parametrize("base", [0.5, RAMP, POINTS])
@pytest.mark.parametrize("over", [0.25, {"start": 0.1, "end": 0.2}, {"points": [[0.5, 2.0]]}])
def test_any_form_of_a_schedule_goes_over_any_other(base: Any, over: Any) -> None:
    """What is read is what the later recipe says, but for words of the same form that it leaves out."""
    read = Schedule.from_setting(merge({"weight": base}, {"weight": over})["weight"])
    same_form = isinstance(base, dict) and isinstance(over, dict) and ("points" in base) == ("points" in over)
    assert read == Schedule.from_setting({**base, **over} if same_form else over)


def test_one_word_of_a_schedule_can_be_changed() -> None:
    assert merge(RAMP, {"end": 0.1}) == {**RAMP, "end": 0.1}
    assert merge(POINTS, {"shape": "cosine"}) == {**POINTS, "shape": "cosine"}
    assert merge({"points": 3, "resolution": 8}, {"start": 1}) == {"points": 3, "resolution": 8, "start": 1}


def test_elements_of_a_list_go_by_number() -> None:
    base = {"exporters": [{"type": "mesh", "format": "glb"}, {"type": "video"}], "size": [1, 2]}
    assert merge(base, {"exporters": {"0": {"format": "obj"}}, "size": {1: 5}}) == {
        "exporters": [{"type": "mesh", "format": "obj"}, {"type": "video"}],
        "size": [1, 5],
    }
    assert merge(base, {"size": [7]})["size"] == [7]


@pytest.mark.parametrize(
    ("base", "over", "message"),
    [
        ({"a": {"b": [1, 2]}}, {"a": {"b": {"9": 1}}}, "a.b.9: no such element of a.b; its elements are 0 to 1"),
        ({"a": [[0]]}, {"a": {"0": {"1": 5}}}, "a.0.1: no such element of a.0; its elements are 0 to 0"),
        ({"a": []}, {"a": {"0": 1}}, "a.0: no such element of a; the list is empty"),
    ],
)
def test_an_element_that_is_not_there_is_named_with_its_path(base: Any, over: Any, message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        merge(base, over)

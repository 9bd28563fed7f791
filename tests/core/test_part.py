"""Registration by subclassing: what registers, what is refused, and what the refusals say."""

import re
from dataclasses import dataclass

import pytest

from core.errors import UserError
from core.part import Choice, Part, find, kinds, names


@pytest.fixture
def lamp(registry: None) -> type[Part]:
    """A kind of its own, with a narrower promise and two parts."""

    class Lamp(Part, kind="lamp"):
        pass

    class Candle(Lamp, name="candle"):
        @dataclass(frozen=True)
        class Config:
            hours: int = 4

        def __init__(self, config: Config, colour: str) -> None:
            self.burns = f"{colour} for {config.hours} h"

    class ElectricLamp(Lamp):
        pass

    class Bulb(ElectricLamp, name="light-bulb"):
        @dataclass(frozen=True)
        class Config:
            watts: float = 9.0

    return Lamp


def test_naming_a_subclass_registers_it_and_leaving_the_name_out_does_not(lamp: type[Part]) -> None:
    assert "lamp" in kinds()
    assert names("lamp") == ["candle", "light-bulb"]
    assert find("lamp", "candle").__name__ == "Candle"


def test_names_narrowed_to_a_promise(lamp: type[Part]) -> None:
    electric = find("lamp", "light-bulb").__mro__[1]
    assert names("lamp", electric) == ["light-bulb"]


def test_a_name_that_is_gone_is_answered_with_what_replaces_it(lamp: type[Part]) -> None:
    class Torch(find("lamp", "candle"), name="torch", replaces=["oil-lamp", "taper"]):
        pass

    for old in ("oil-lamp", "taper"):
        with pytest.raises(UserError, match=rf"no lamp is called '{old}'\. Say type: torch instead\."):
            find("lamp", old)
    assert names("lamp") == ["candle", "light-bulb", "torch"]


def test_a_choice_builds_its_part_with_the_context_of_its_kind(lamp: type[Part]) -> None:
    candle = Choice.of(find("lamp", "candle"), hours=7).build("red")
    assert candle.burns == "red for 7 h"


def test_an_inherited_config_is_enough(lamp: type[Part]) -> None:
    class TallCandle(find("lamp", "candle"), name="tall-candle"):
        pass

    assert TallCandle.Config().hours == 4


def test_unknown_names_are_answered_with_the_nearest(lamp: type[Part]) -> None:
    with pytest.raises(UserError, match=re.escape("no lamp is called 'candel'. Did you mean 'candle'?")):
        find("lamp", "candel")
    with pytest.raises(UserError, match=re.escape("'lmap': no such kind of part. Did you mean 'lamp'?")):
        find("lmap", "candle")


def test_a_duplicate_is_refused_and_both_places_are_named(lamp: type[Part]) -> None:
    with pytest.raises(TypeError) as caught:

        class OtherCandle(lamp, name="candle"):
            @dataclass(frozen=True)
            class Config:
                pass

    text = str(caught.value)
    assert "OtherCandle" in text
    assert "the name 'candle' of kind 'lamp' is taken by" in text
    assert len(re.findall(r"test_part\.py:\d+", text)) == 2


@pytest.mark.parametrize("name", ["Candle", "tall_candle", "tall candle", "-candle", "candle-", ""])
def test_a_name_that_is_not_kebab_case_is_refused(lamp: type[Part], name: str) -> None:
    with pytest.raises(TypeError, match="is not kebab-case"):

        class Odd(lamp, name=name):
            @dataclass(frozen=True)
            class Config:
                pass


def test_a_missing_or_changeable_config_is_refused(lamp: type[Part]) -> None:
    message = re.escape("needs a nested class Config decorated with @dataclass(frozen=True)")
    with pytest.raises(TypeError, match=message):

        class Bare(lamp, name="bare"):
            pass

    with pytest.raises(TypeError, match=message):

        class Changeable(lamp, name="changeable"):
            @dataclass
            class Config:
                hours: int = 4

    assert names("lamp") == ["candle", "light-bulb"]


def test_a_part_without_a_kind_is_refused(registry: None) -> None:
    with pytest.raises(TypeError, match="a part subclasses a kind"):

        class Lost(Part, name="lost"):
            @dataclass(frozen=True)
            class Config:
                pass

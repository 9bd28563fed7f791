"""Strict reading: every fault at once with its full path, and plain(read(x)) = x."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from torch import nn

from core.errors import UserError, require
from core.part import Choice, Part
from core.schedule import Schedule
from core.setting_paths import plain
from core.settings import read_settings


@dataclass(frozen=True)
class Wick:
    """Nested settings."""

    length: float = 1.0
    material: Literal["cotton", "paper"] = "cotton"

    def __post_init__(self) -> None:
        require(self.length > 0, f"length: above 0, got {self.length}")


class Torch(Part, nn.Module, kind="test-torch"):
    """A kind of these tests."""


class HandTorch(Torch):
    """A narrower promise."""


class Candle(HandTorch, name="candle"):
    """A part of these tests."""

    @dataclass(frozen=True)
    class Config:
        hours: int = 4
        heat: Schedule = Schedule.constant(1.0)
        wick: Wick = field(default_factory=Wick)


class Bonfire(Torch, name="bonfire"):
    """Another one, which is not held in the hand."""

    @dataclass(frozen=True)
    class Config:
        logs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Room:
    """One field of every sort that can be read."""

    light: Choice[HandTorch]
    others: tuple[Choice[Torch], ...] = ()
    size: tuple[float, float] = (2.0, 3.0)
    name: str | None = None
    open: bool = False
    prices: dict[str, int] = field(default_factory=dict)
    plan: Path = Path("plan.png")
    door: int | Literal["none"] = "none"


def test_everything_is_read_and_written_back() -> None:
    mapping = {
        "light": {"type": "candle", "hours": 2, "heat": 0.5, "wick": {"length": 2.0, "material": "paper"}},
        "others": [{"type": "bonfire", "logs": ["oak", "fir"]}],
        "size": [1.0, 2.5],
        "name": "den",
        "open": True,
        "prices": {"rent": 3},
        "plan": "a/b.png",
        "door": 2,
    }
    room = read_settings(Room, mapping)
    assert room.light.part is Candle
    assert room.light.config.wick == Wick(2.0, "paper")
    assert room.others[0].config.logs == ("oak", "fir")
    assert room.plan == Path("a/b.png")
    assert plain(room) == mapping


def test_defaults_are_spelt_out() -> None:
    room = read_settings(Room, {"light": {"type": "candle"}, "size": [1, 2]})
    assert plain(room)["light"] == {
        "type": "candle",
        "hours": 4,
        "heat": 1.0,
        "wick": {"length": 1.0, "material": "cotton"},
    }
    assert all(isinstance(side, float) for side in room.size)


def test_all_faults_are_told_at_once_each_with_its_path() -> None:
    mapping = {
        "light": {"type": "candle", "huors": 3, "hours": 2.5, "wick": {"length": -1.0}},
        "others": [{"type": "bonfire", "logs": "oak"}],
        "opne": True,
    }
    with pytest.raises(UserError) as caught:
        read_settings(Room, mapping, path="house.room")
    assert str(caught.value).splitlines() == [
        "house.room.opne: no such setting of Room. Did you mean 'open'?",
        "house.room.light.huors: no such setting of Candle. Did you mean 'hours'?",
        "house.room.light.hours: expected an integer, got 2.5",
        "house.room.light.wick.length: above 0, got -1.0",
        "house.room.others.0.logs: expected a list, got 'oak'",
    ]


@dataclass(frozen=True)
class Box:
    """Checks that build on one another, and on a value that must be given."""

    label: str
    width: float = 1.0
    height: float = 1.0
    depth: int = 1

    def __post_init__(self) -> None:
        require(self.width > 0, f"width: above 0, got {self.width:g}")
        require(self.height / self.width < 9, f"height: below 9 widths, got {self.height:g}")
        require(self.depth > 0, f"depth: above 0, got {self.depth}")
        require(len(self.label) > 0, "label: not empty")


@pytest.mark.parametrize(
    ("mapping", "faulty"),
    [
        ({"label": "", "width": -1, "depth": 0}, ["width", "depth", "label"]),
        ({"label": "", "width": "x", "depth": 0}, ["width", "depth", "label"]),
        ({"depth": 0}, ["label", "depth"]),  # the check of the label finds none and is left aside
        ({"label": 3, "dpeth": 1, "height": 10}, ["dpeth", "label", "height"]),
        ({"label": "a", "width": 0, "depth": 0}, ["width"]),  # a division by it is no fault of the user's
    ],
)
def test_range_checks_run_beside_other_faults(mapping: dict[str, object], faulty: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(Box, mapping, path="box")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [f"box.{name}" for name in faulty]


def test_a_check_that_fails_of_itself_is_a_fault_of_the_program() -> None:
    @dataclass(frozen=True)
    class Broken:
        size: float = 0.0

        def __post_init__(self) -> None:
            require(1 / self.size > 0, "size: above 0")

    with pytest.raises(ZeroDivisionError):
        read_settings(Broken, {"size": 0.0})


def test_faults_known_before_are_told_with_the_others() -> None:
    with pytest.raises(UserError, match=r"^a: faulty\ndepth: above 0, got 0$"):
        read_settings(Box, {"label": "a", "depth": 0}, found_before=["a: faulty"])
    with pytest.raises(UserError, match=r"^a: faulty$"):
        read_settings(Box, {"label": "a"}, found_before=["a: faulty"])


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("light", {"type": "cnadle"}, "light.type: no test-torch is called 'cnadle'. Did you mean 'candle'?"),
        ("light", {"type": "bonfire"}, "light.type: 'bonfire' is no HandTorch. Valid: candle."),
        ("light", {"hours": 3}, "light: expected a mapping with the type of a test-torch, got no type. Valid: candle."),
        ("light", "candle", "light: expected a mapping with the type of a test-torch, got 'candle'. Valid: candle."),
        ("light", "???", "light: missing. Give it in the recipe or as light=VALUE"),
        ("size", [1.0], "size: expected a list of 2 values, got 1"),
        ("size", [1.0, "x"], "size.1: expected a number, got 'x'"),
        ("name", 3, "name: expected a text, got 3"),
        ("open", 1, "open: expected true or false, got 1"),
        ("prices", {"rent": True}, "prices.rent: expected an integer, got True"),
        ("prices", [1], "prices: expected a mapping, got [1]"),
        ("plan", 7, "plan: expected a path, got 7"),
        ("door", "nnoe", "door: 'nnoe' is not valid. Did you mean 'none'?"),
    ],
)
def test_one_fault_each(key: str, value: object, message: str) -> None:
    with pytest.raises(UserError) as caught:
        read_settings(Room, {"light": {"type": "candle"}, key: value})
    assert str(caught.value) == message


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(UserError, match=r"^light: missing\. Give it in the recipe or as light=VALUE$"):
        read_settings(Room, {})


def test_faults_of_a_schedule_carry_their_path() -> None:
    with pytest.raises(UserError, match=r"^light\.heat: a schedule needs 'end', got \{'start': 1\}$"):
        read_settings(Room, {"light": {"type": "candle", "heat": {"start": 1}}})


def test_a_name_with_a_nul_character_is_refused() -> None:
    @dataclass(frozen=True)
    class Config:
        path: Path

    with pytest.raises(UserError, match=r"path: a NUL character, which no file's name can hold"):
        read_settings(Config, {"path": "a\0b"})

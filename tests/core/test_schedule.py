"""Schedules: hand-worked values, and that reading what one writes gives the same schedule."""

import re

import pytest

from core.errors import UserError
from core.schedule import Schedule

RAMP = Schedule.from_setting({"start": 0.98, "end": 0.5, "from": 0.2, "to": 0.7})


@pytest.mark.parametrize(
    ("step", "expected"), [(0, 0.98), (199, 0.98), (200, 0.98), (450, 0.74), (700, 0.5), (999, 0.5), (5000, 0.5)]
)
def test_ramp_by_hand(step: int, expected: float) -> None:
    assert RAMP.at(step, 1000) == pytest.approx(expected)


def test_ramp_keeps_its_meaning_at_any_length() -> None:
    assert RAMP.at(450, 1000) == pytest.approx(RAMP.at(9, 20))


def test_pieces_between_points_by_hand() -> None:
    schedule = Schedule(((0.0, 1.0), (0.5, 3.0), (1.0, 0.0)))
    assert [schedule.at(step, 8) for step in (0, 2, 4, 6)] == pytest.approx([1.0, 2.0, 3.0, 1.5])


def test_cosine_is_flat_at_the_ends_and_half_way_in_the_middle() -> None:
    schedule = Schedule.ramp(0.0, 1.0, shape="cosine")
    assert schedule.at(50, 100) == pytest.approx(0.5)
    assert schedule.at(1, 100) < 0.001
    assert schedule.at(99, 100) > 0.999
    assert schedule.at(25, 100) == pytest.approx(0.5 - 0.5 * 2**-0.5)


@pytest.mark.parametrize(
    "setting",
    [
        0.5,
        3,
        {"start": 1, "end": 0, "shape": "cosine"},
        {"points": [[0.5, 2.0]]},
        {"points": [[0.1, 0.0], [0.2, 1.0], [1, 0]]},
    ],
)
def test_writing_and_reading_again(setting: object) -> None:
    schedule = Schedule.from_setting(setting)
    assert Schedule.from_setting(schedule.to_setting()) == schedule


def test_a_ramp_is_written_as_people_write_it() -> None:
    assert RAMP.to_setting() == {"start": 0.98, "end": 0.5, "from": 0.2, "to": 0.7, "shape": "linear"}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("high", "expected a number or a schedule such as {start: 1, end: 0, from: 0.0, to: 0.7}, got 'high'"),
        (True, "expected a number or a schedule"),
        ({"start": 1, "end": 0, "form": 0.1}, "'form': no such word of a schedule. Did you mean 'from'?"),
        ({"start": 1}, "a schedule needs 'end', got {'start': 1}"),
        ({"start": 1, "end": 0, "from": 200, "to": 700}, "fractions of the training, from 0 to 1, got [200.0, 700.0]"),
        ({"start": 1, "end": 0, "from": 0.7, "to": 0.2}, "positions must increase, got [0.7, 0.2]"),
        ({"start": 1, "end": "low"}, "expected numbers"),
        ({"points": [0.0, 1.0]}, "points: expected [fraction, value] pairs"),
        ({"points": []}, "a schedule needs at least one point"),
        ({"start": 1, "end": 0, "shape": "cubic"}, "shape: 'cubic' is neither 'linear' nor 'cosine'"),
        (float("nan"), "expected a number or a schedule"),
    ],
)
def test_nonsense_is_refused_with_its_reason(setting: object, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        Schedule.from_setting(setting)

"""Numbers that change over training, as values without state: asked by step, they always give the same answer.

Positions are fractions of the training, from 0 (first step) to 1 (end), so that a recipe keeps its meaning at any
length. In a recipe, a schedule is one of

    0.5                                                    always 0.5
    {start: 0.98, end: 0.5, from: 0.0, to: 0.7}            a ramp, constant before `from` and after `to`
    {points: [[0.25, 0.0], [0.5, 1.0]], shape: cosine}     pieces between points
"""

import itertools
import math
import sys
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any, Literal, get_args

from core.errors import UserError, did_you_mean, require

Shape = Literal["linear", "cosine"]
#: What a recipe may say in each of the two forms that are mappings.
RAMP_WORDS = frozenset({"start", "end", "from", "to", "shape"})
POINTS_WORDS = frozenset({"points", "shape"})


@dataclass(frozen=True)
class Schedule:
    """A number over the steps of a training."""

    points: tuple[tuple[float, float], ...]
    """(fraction of the training, value), fractions increasing; before the first and after the last it is constant."""
    shape: Shape = "linear"
    """How it moves from one point to the next: `linear`, or `cosine` (flat at both ends)."""

    def __post_init__(self) -> None:
        fractions = [fraction for fraction, _ in self.points]
        require(len(fractions) > 0, "a schedule needs at least one point")
        require(
            all(0.0 <= fraction <= 1.0 for fraction in fractions),
            f"positions are fractions of the training, from 0 to 1, got {fractions}",
        )
        ordered = all(before < after for before, after in itertools.pairwise(fractions))
        require(ordered, f"positions must increase, got {fractions}")
        require(all(math.isfinite(value) for _, value in self.points), "values must be finite")

    @classmethod
    def constant(cls, value: float) -> "Schedule":
        """The same number at every step."""
        return cls(((0.0, float(value)),))

    @classmethod
    def ramp(
        cls, start: float, end: float, begin: float = 0.0, until: float = 1.0, shape: Shape = "linear"
    ) -> "Schedule":
        """From `start`, held until the fraction `begin`, to `end`, reached at the fraction `until`."""
        return cls(((begin, start), (until, end)), shape)

    @property
    def values(self) -> list[float]:
        """At its points: it never goes beyond them."""
        return [value for _, value in self.points]

    def at(self, step: int, total_steps: int) -> float:
        """The value at an optimiser step, counted from 0, of a training of `total_steps`."""
        here = step / max(total_steps, 1)
        left, value = self.points[0]
        if here <= left:
            return value
        for right, target in self.points[1:]:
            if here < right:
                share = (here - left) / (right - left)
                if self.shape == "cosine":
                    share = 0.5 - 0.5 * math.cos(math.pi * share)
                return value + (target - value) * share
            left, value = right, target
        return value

    @classmethod
    def from_setting(cls, setting: Any) -> "Schedule":
        """Read what a recipe says; see the top of this module.

        Raises:
            UserError: the setting is none of the three forms.
        """
        if _is_number(setting):
            setting = {"points": [[0.0, setting]]}
        if not isinstance(setting, dict):
            example = "{start: 1, end: 0, from: 0.0, to: 0.7}"
            raise UserError(f"expected a number or a schedule such as {example}, got {setting!r}")
        if "points" in setting:
            _check_keys(setting, POINTS_WORDS, needed={"points"})
            pairs = setting["points"]
            well_formed = isinstance(pairs, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
            if not well_formed:
                raise UserError(f"points: expected [fraction, value] pairs, got {pairs!r}")
        else:
            _check_keys(setting, RAMP_WORDS, needed={"start", "end"})
            pairs = [[setting.get("from", 0.0), setting["start"]], [setting.get("to", 1.0), setting["end"]]]
        numbers = [number for pair in pairs for number in pair]
        if not all(_is_number(number) for number in numbers):
            raise UserError(f"expected numbers, got {numbers!r}")
        points = tuple((float(fraction), float(value)) for fraction, value in pairs)
        shape = setting.get("shape", "linear")
        if shape not in get_args(Shape):
            raise UserError(f"shape: '{shape}' is neither 'linear' nor 'cosine'")
        return cls(points, shape)

    def to_setting(self) -> Any:
        """What a recipe would say; reading it again gives an equal schedule."""
        if len(self.points) == 1 and self.points[0][0] == 0.0:
            return self.points[0][1]
        if len(self.points) == 2:
            (begin, start), (until, end) = self.points
            return {"start": start, "end": end, "from": begin, "to": until, "shape": self.shape}
        return {"points": [list(point) for point in self.points], "shape": self.shape}


#: 0 at every step.
NEVER = Schedule.constant(0.0)


def require_values(name: str, schedule: Schedule, most: float | None = None) -> None:
    """Check that all values of a setting are at least 0, and at most `most`."""
    values = schedule.values
    if most is None:
        require(min(values) >= 0, f"{name}: at least 0, got {min(values):g}")
    else:
        require(all(0 <= value <= most for value in values), f"{name}: a share from 0 to {most:g}, got {values}")


def is_other_form(base: Mapping[Any, Any], over: Mapping[Any, Any]) -> bool:
    """Whether one mapping is a ramp and the other holds points: two forms of one schedule, which do not mix."""
    ramp, points = RAMP_WORDS - POINTS_WORDS, POINTS_WORDS - RAMP_WORDS
    if not {*base, *over} <= RAMP_WORDS | POINTS_WORDS:
        return False
    return bool((ramp & base.keys() and points & over.keys()) or (points & base.keys() and ramp & over.keys()))


def _is_number(value: Any) -> bool:
    """Whether a recipe's value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def _check_keys(setting: dict[Any, Any], valid: Set[str], needed: Set[str]) -> None:
    for key in setting:
        if key not in valid:
            raise UserError(f"'{key}': no such word of a schedule. {did_you_mean(str(key), valid)}")
    for key in sorted(needed - setting.keys()):
        raise UserError(f"a schedule needs '{key}', got {setting!r}")

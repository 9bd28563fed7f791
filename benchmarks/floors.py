"""The floors of the quality benchmark: what twelve objects together must reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.figures import Figures
from benchmarks.toy_prompts import ToyPrompt

BLOB_LIKE = 0.75  # objects that an ellipsoid fits this well prove nothing by beating it


@dataclass(frozen=True)
class Row:
    """One prompt: the object made from its text, the one made from pictures, and the best ellipsoid."""

    prompt: ToyPrompt
    ours: Figures
    ceiling: Figures
    ellipsoid_iou: float


@dataclass(frozen=True)
class Floor:
    """One demand. `value` and `wanted` are shares or means; `text` says it in words."""

    name: str
    value: float
    wanted: float
    text: str
    strictly: bool = False
    """More than `wanted`, not just as much."""

    @property
    def met(self) -> bool:
        """At least what is wanted (a hair below counts: sums of floats), or more by more than a hair."""
        return self.value > self.wanted + 1e-9 if self.strictly else self.value >= self.wanted - 1e-9


def floors(rows: Sequence[Row]) -> list[Floor]:
    """All demands, in the order of the issue that states them."""
    own, ceiling = fmean(row.ours.iou for row in rows), fmean(row.ceiling.iou for row in rows)
    ratio = own / ceiling if ceiling else 0.0
    silhouettes = fmean(row.ours.silhouette_iou for row in rows)
    hard = [row for row in rows if row.ellipsoid_iou < BLOB_LIKE]
    fronts = [row for row in rows if row.prompt.kind.front]
    return [
        _share("object and colour named right on most of 8 views", [row.ours.votes.named for row in rows], 10 / 12),
        Floor(
            "mean IoU over the ceiling's", ratio, 0.75, f"{own:.3f} / {ceiling:.3f} = {ratio:.3f}, at least 0.75 wanted"
        ),
        _share(
            f"above the ellipsoid where that is under {BLOB_LIKE}",
            [row.ours.iou > row.ellipsoid_iou for row in hard],
            0.75,
        ),
        Floor("mean silhouette IoU over 24 views", silhouettes, 0.75, f"{silhouettes:.3f}, at least 0.75 wanted"),
        _share("not empty", [not row.ours.empty for row in rows], 1.0),
        _share("front and back where they belong", [row.ours.votes.faces_front for row in fronts], 0.8),
        _share("a single front", [not row.ours.votes.two_fronts for row in fronts], 17 / 18),
    ]


def _share(name: str, holds: Sequence[bool], wanted: float) -> Floor:
    value = sum(holds) / len(holds) if holds else 1.0  # no object of this sort asks for nothing
    return Floor(name, value, wanted, f"{sum(holds)} of {len(holds)}, at least {wanted:.0%} wanted")

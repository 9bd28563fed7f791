"""An asset that is worse than its first stage in one thing misses the demand on that thing alone."""

from dataclasses import replace

import pytest

from benchmarks.asset import Made, better_floors
from benchmarks.refine import Look

FIRST = Made(Look(votes=6, colour_error=0.05, sharpness=0.7), parts_right=2, psnr_db=24.0)
BETTER = Made(Look(votes=7, colour_error=0.04, sharpness=1.0), parts_right=3, psnr_db=26.0)


def test_better_in_all_things_meets_all_demands():
    assert all(floor.met for floor in better_floors([(FIRST, BETTER)]))


@pytest.mark.parametrize(
    ("worse", "missed"),
    [
        (replace(BETTER, look=replace(BETTER.look, votes=5)), "views judged right do not fall"),
        (replace(BETTER, look=replace(BETTER.look, colour_error=0.06)), "colour error does not rise"),
        (replace(BETTER, look=replace(BETTER.look, sharpness=0.7)), "sharpness rises"),
        (replace(BETTER, parts_right=1), "parts of the right colour do not fall"),
        (replace(BETTER, psnr_db=23.0), "the file is nearer to its views"),
    ],
)
def test_worse_in_one_thing_is_told(worse: Made, missed: str):
    assert [floor.name for floor in better_floors([(FIRST, worse)]) if not floor.met] == [missed]

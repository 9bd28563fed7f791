"""The promise to the training, on a clock that the test turns."""

import pytest

from app.live.budget import Budget


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("cost", [0.004, 0.05, 2.0])
def test_looking_takes_its_share_and_no_more(share: float, cost: float) -> None:
    clock = Clock()
    budget, looked, step = Budget(share, clock), 0.0, 0.03
    began = clock.now
    while clock.now - began < 2000:
        clock.now += step
        if budget.allows():
            clock.now += cost
            looked += cost
            budget.draw(cost)
    assert looked / (clock.now - began) <= share
    possible = min(share, cost / (cost + step))  # one picture after each step
    assert looked / (clock.now - began) > 0.8 * possible, "and viewers get what was promised them"
    if cost < 1:  # a picture of two seconds is seldom within the minute that the page tells of
        assert budget.measured == pytest.approx(possible, rel=0.4)


def test_nothing_is_given_at_a_share_of_nothing() -> None:
    clock = Clock()
    budget = Budget(0.0, clock)
    clock.now += 1e6
    assert not budget.allows()


def test_a_long_pause_and_a_long_training_alone_earn_no_burst() -> None:
    clock = Clock()
    budget = Budget(0.1, clock)
    clock.now += 3600
    budget.rest()
    assert not budget.allows(), "a pause earns nothing"
    clock.now += 3600
    looked = 0.0
    while budget.allows():
        clock.now += 0.05
        looked += 0.05
        budget.draw(0.05)
    assert looked < 1.0

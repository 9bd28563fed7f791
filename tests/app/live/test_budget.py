"""The promise to the training, on a clock that the test turns."""

import itertools

import pytest

from app.live.budget import MOST_OWED_S, Budget, Promise


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


@pytest.mark.parametrize("taken", [0.6, 7.0])
def test_who_took_too_much_waits_until_it_is_earned_and_is_forgiven_by_a_pause(taken: float) -> None:
    clock = Clock()
    budget = Budget(0.1, clock)
    budget.spend(taken)
    assert budget.owes()
    clock.now += 10 * (taken - MOST_OWED_S) - 0.1
    assert budget.owes()
    clock.now += 0.2
    assert not budget.owes()
    budget.spend(taken)
    budget.rest()
    assert not budget.owes(), "a paused training has nothing to wait for"


def test_the_promise_is_kept_in_seconds_of_the_processor_too() -> None:
    """Other programs take three quarters of the processor: of what is left, visitors get no more than their share."""
    wall, processor = Clock(), Clock()
    promise, looked = Promise(wall, processor), 0.0

    def work(seconds: float) -> None:
        wall.now += 4 * seconds
        processor.now += seconds

    for step in itertools.count():
        work(0.01)
        if step % 10 == 0:  # of the server's thread, beside
            work(0.003)
            promise.spend(0.003)
            looked += 0.003
        if promise.allows():
            with promise.spending(is_picture=True):
                work(0.02)
            looked += 0.02
        if processor.now > 300:
            break
    share = looked / (processor.now - 100)
    assert 0.08 < share <= 0.1
    assert promise.measured == pytest.approx(share, abs=0.02), "and the page says so"

"""The benchmark of waiting threads: its ratios, and the processes that it tells to train."""

import os

from app.process import wait_passively
from benchmarks.threads import BY_DEFAULT, CHOSEN, WAYS, Training, _turned, ratio_to_default


def _round(default: float, chosen: float) -> dict[str, dict[str, float]]:
    return {BY_DEFAULT: {"alone": default}, CHOSEN: {"alone": chosen}}


def test_a_ratio_is_of_one_round_and_the_median_over_rounds():
    """A round in which the machine was ten times as slow counts as any other one."""
    rounds = [_round(2.0, 1.0), _round(20.0, 12.0), _round(1.0, 0.9)]
    assert ratio_to_default(rounds, CHOSEN, "alone") == 0.6
    assert ratio_to_default(rounds, BY_DEFAULT, "alone") == 1.0


def test_no_way_is_always_the_first():
    firsts = [next(iter(_turned(dict(WAYS), number))) for number in range(len(WAYS))]
    assert sorted(firsts) == sorted(WAYS)
    assert _turned(dict(WAYS), 3).keys() == WAYS.keys()


def test_what_the_command_line_sets_is_what_is_measured(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.setenv(name, "-")
        monkeypatch.delenv(name)
    before = dict(os.environ)
    wait_passively()
    assert {name: os.environ[name] for name in os.environ if name not in before} == WAYS[CHOSEN]


def test_a_training_takes_steps_when_told_and_ends():
    training = Training({"OMP_WAIT_POLICY": "passive", "OMP_NUM_THREADS": "1"})
    try:
        assert training.seconds() > 0
        training.begin(1)
        assert training.seconds() > 0
        assert training.process.poll() is None
    finally:
        training.end()
    assert training.process.returncode == 0

"""What pictures are asked for, and how their shares are counted."""

import numpy as np
import pytest

from toybox.captions import Subject
from toybox.judge import Verdict
from toybox.picture_figures import Request, interval, judge_pictures, requests
from toybox.world import load_world


def test_requests_are_balanced_and_keep_seen_apart_from_unseen():
    seen, unseen = requests(400, seen=True), requests(200, seen=False)
    pairs = {(r.subject.kind, r.subject.main) for r in seen}
    assert not pairs & {(r.subject.kind, r.subject.main) for r in unseen}
    for what in (lambda r: r.subject.kind, lambda r: r.subject.main, lambda r: r.word):
        _, counts = np.unique([what(r) for r in seen], return_counts=True)
        assert counts.max() <= 1.5 * counts.min()
    assert len({(r.subject, r.word) for r in seen}) > 300
    for asked in (seen, unseen):  # every kind meets every view word
        _, counts = np.unique([(r.subject.kind, r.word) for r in asked], axis=0, return_counts=True)
        assert len(counts) == len({r.subject.kind for r in asked}) * len(load_world().view_words)
        assert counts.max() <= counts.min() + 1


def test_interval_is_wilsons():
    # Wilson's interval of 95 right of 100, from tables: 0.888 - 0.978
    found = interval([True] * 95 + [False] * 5)
    assert found["share"] == 0.95
    assert found["low"] == pytest.approx(0.888, abs=1e-3)
    assert found["high"] == pytest.approx(0.978, abs=1e-3)


def test_shares_counted_by_hand():
    asked = [
        Request(Subject("car", "red"), "front", seen=True),
        Request(Subject("car", "red"), "side", seen=True),
        Request(Subject("house", "blue"), "back", seen=False),
        Request(Subject("house", "blue"), "overhead", seen=False),  # no word that an azimuth could obey
        Request(Subject("mug", "green"), "front", seen=False),  # a kind without a front
    ]
    verdicts = [
        Verdict("car", 1.0, "red", "own", 20.0),
        Verdict("train", 1.0, "red", "own", 180.0),
        Verdict("house", 1.0, "blue", "own", -170.0),
        Verdict("house", 1.0, "pink", "own", 0.0),
        Verdict("nothing", 1.0, "green", "own", 0.0),
    ]
    figures = judge_pictures(asked, verdicts)
    shares = {name: (figures[name]["share"], figures[name]["count"]) for name in figures if name != "object_by_kind"}
    assert shares == {
        "object_seen": (0.5, 2), "object_unseen": (0.6667, 3), "colour": (0.8, 5), "view": (0.6667, 3)
    }  # fmt: skip
    assert figures["object_by_kind"] == {"car": 0.5, "house": 1.0, "mug": 0.0}

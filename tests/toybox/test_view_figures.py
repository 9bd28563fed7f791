"""What the multi-view model is asked for, and its figures on answers whose shares are known."""

import numpy as np
import pytest
import torch

from toybox.buffers import View
from toybox.captions import Subject, subjects
from toybox.judge import Verdict
from toybox.view_figures import (
    HULL_VIEWS,
    ViewRequest,
    hull_agreement,
    hull_requests,
    judge_views,
    true_pictures,
    view_requests,
)
from toybox.view_sets import N_VIEWS
from toybox.world import load_world


@pytest.mark.parametrize("seen", [True, False])
def test_requests_go_round_the_kinds_and_keep_what_is_held_out_apart(seen):
    asked = view_requests(66, seen, seed=1)
    assert all(request.subject in subjects(seen) and request.seen == seen for request in asked)
    counts = [sum(request.subject.kind == kind for request in asked) for kind in load_world().kinds]
    assert max(counts) - min(count for count in counts if count) <= 1
    assert {len(request.views) for request in asked} == {N_VIEWS}
    elevations = np.array([view.elevation_deg for request in asked for view in request.views])
    assert elevations.min() < -30
    assert elevations.max() > 60
    assert asked == view_requests(66, seen, seed=1)


def test_shares_by_hand():
    views = (View(0, 0, 1.6, 47), View(70, 90, 1.6, 47))
    asked = [ViewRequest(Subject("car", "red"), views, True), ViewRequest(Subject("mug", "blue"), views, False)]
    verdicts = [
        [Verdict("car", 1.0, "red", "own", 25.0), Verdict("bed", 1.0, "red", "own", 125.0)],
        [Verdict("mug", 1.0, "blue", "own", 0.0), Verdict("mug", 1.0, "white", "own", 180.0)],
    ]
    figures = judge_views(asked, verdicts)
    shares = {name: figure["share"] for name, figure in figures.items() if "share" in figure}
    expected = {"object": 0.75, "object_seen": 0.5, "object_unseen": 1.0, "colour": 0.75, "azimuth": 0.5}
    assert shares == expected | {"one_colour": 0.5}
    assert figures["azimuth"]["count"] == 2  # a mug has no front
    assert figures["object_by_view"] == {"overhead": 0.5, "front": 1.0}


def test_true_pictures_agree_with_their_own_hull_and_turned_ones_do_not():
    request = next(request for request in hull_requests(seed=3) if request.subject.kind == "chair")
    backgrounds = torch.tensor([0.6, 0.74, 0.86]).expand(HULL_VIEWS, -1)
    pictures = true_pictures(request, backgrounds, 64)
    assert hull_agreement(request, pictures) == 1.0
    assert hull_agreement(request, pictures.roll(3, dims=0)) < 0.7


def test_hulls_are_asked_for_from_all_around():
    asked = hull_requests(seed=0)
    assert [request.subject.kind for request in asked] == list(load_world().kinds)
    azimuths = np.sort([view.azimuth_deg % 360 for view in asked[0].views])
    np.testing.assert_allclose(np.diff(azimuths), 360 / HULL_VIEWS)

"""Views that begin narrow and widen."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from core.cameras import ViewBins, view_names
from core.chance import stream
from core.errors import UserError
from core.schedule import Schedule
from systems.views.narrowed_orbit import NarrowedOrbit
from tests.systems.views.small_views import TRAINED_ON, distance, guidance

BINS = ViewBins(overhead_deg=60.0, bottom_deg=-30.0, front_half_width_deg=35.0)
#: Asked at these steps of 100, the opening is 0, 1/2 and 1.
OPENING = {"first_azimuth_deg": (-40.0, 100.0), "opened": Schedule.ramp(0.0, 1.0), "n_views": 4}


def narrowed(**settings: Any) -> NarrowedOrbit:
    return NarrowedOrbit(NarrowedOrbit.Config(**settings), guidance(replace(TRAINED_ON, view_bins=BINS)), 0)


def test_a_spread_below_one_draws_views_to_the_middle_of_their_word():
    ranges: dict[str, Any] = {"elevation_deg": (-45.0, 85.0), "radius": (1.4, 1.8), "fovy_deg": (42.0, 52.0)}
    drawn_with = [narrowed(**ranges, n_views=16, spread=Schedule.constant(spread)) for spread in (1.0, 0.25, 0.0)]
    middles = {"front": (0.0, 15.0), "side": (90.0, 15.0), "back": (180.0, 15.0), "overhead": (None, 72.5)}
    middles["bottom"] = (None, -37.5)
    for step in range(50):
        whole, narrow, point = (views.draw(4, step, 100, stream(0, "training", step)) for views in drawn_with)
        words = view_names(whole, BINS)
        assert view_names(narrow, BINS) == words, "no view changes its word"
        assert view_names(point, BINS) == words
        for i, word in enumerate(words):
            azimuth, elevation = middles[word]
            assert float(point.elevation_deg[i]) == pytest.approx(elevation)
            if azimuth is not None:
                assert float(point.azimuth_deg[i].abs()) == pytest.approx(azimuth)
        for name in ("elevation_deg", "azimuth_deg", "fovy_deg"):
            moved = getattr(point, name) + 0.25 * (getattr(whole, name) - getattr(point, name))
            torch.testing.assert_close(getattr(narrow, name), moved, atol=1e-3, rtol=0)
        assert float(distance(point).std()) < 1e-5


def test_views_begin_on_one_side_and_open_to_the_whole_circle():
    views = narrowed(**OPENING)

    def reach(step: int) -> tuple[float, float]:
        azimuths = torch.cat([views.draw(4, step, 100, stream(0, "training", i)).azimuth_deg for i in range(300)])
        return float(azimuths.min()), float(azimuths.max())

    assert reach(0) == pytest.approx((-40, 100), abs=2)
    assert reach(50) == pytest.approx((-110, 140), abs=2)
    assert reach(100) == pytest.approx((-180, 180), abs=2)


def test_every_view_of_a_step_has_a_part_of_the_open_range_to_itself():
    views = narrowed(**OPENING)
    for i in range(20):
        azimuth = views.draw(4, 0, 100, stream(0, "training", i)).azimuth_deg
        assert ((azimuth + 40) / 35).floor().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("wrong", [(100.0, -40.0), (-200.0, 0.0), (10.0, 10.0)])
def test_the_first_azimuths_are_a_range_of_the_circle(wrong: tuple[float, float]):
    with pytest.raises(UserError, match="first_azimuth_deg: two rising numbers from -180 to 180, got"):
        NarrowedOrbit.Config(first_azimuth_deg=wrong, opened=Schedule.ramp(0.0, 1.0))


def test_first_azimuths_that_would_never_be_seen_are_refused():
    with pytest.raises(UserError, match="first_azimuth_deg: does nothing while opened is 1"):
        NarrowedOrbit.Config(first_azimuth_deg=(-35.0, 110.0))


@pytest.mark.parametrize(("name", "share"), [("opened", -0.5), ("spread", 1.5)])
def test_how_far_views_spread_and_open_are_shares(name: str, share: float):
    with pytest.raises(UserError, match=rf"{name}: a share from 0 to 1, got \[{share}\]"):
        narrowed(**{name: Schedule.constant(share)})

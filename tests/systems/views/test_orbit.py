"""Cameras around the object: random ones to train with, fixed ones to look at."""

import math
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.part import Choice
from core.settings import read_settings
from core.types import ViewNeeds
from systems.views.orbit import CameraRanges, Orbit, cameras_around, cameras_everywhere
from tests.systems.views.small_views import TRAINED_ON, distance, drawn, guidance

USUAL = CameraRanges((-60.0, 90.0), (1.0, 1.5), (40.0, 70.0))
CPU = torch.device("cpu")


def orbit(**settings: Any) -> Orbit:
    return Orbit(Orbit.Config(**settings), guidance(TRAINED_ON), 0)


def test_ranges_are_kept_and_filled():
    cameras = drawn(orbit(elevation_deg=(-30.0, 60.0), radius=(1.4, 1.8), fovy_deg=(42.0, 52.0)))
    elevation = torch.cat([c.elevation_deg for c in cameras])
    away = torch.cat([distance(c) for c in cameras])
    fovy = torch.cat([c.fovy_deg for c in cameras])
    for values, (low, high) in ((elevation, (-30, 60)), (away, (1.4, 1.8)), (fovy, (42, 52))):
        assert low - 1e-4 <= float(values.min()) < low + 0.02 * (high - low)
        assert high + 1e-4 >= float(values.max()) > high - 0.02 * (high - low)


def test_directions_are_uniform_over_the_sphere():
    elevation = torch.cat([c.elevation_deg for c in drawn(orbit(elevation_deg=(-90.0, 90.0)))])
    counts = elevation.deg2rad().sin().histc(10, -1, 1)  # equal heights of a sphere have equal areas
    assert counts.tolist() == pytest.approx([1200] * 10, rel=0.12)


def test_uniform_in_angle_on_demand():
    views = orbit(elevation_deg=(-60.0, 60.0), uniform_in="angle")
    elevation = torch.cat([c.elevation_deg for c in drawn(views)])
    assert elevation.histc(10, -60, 60).tolist() == pytest.approx([1200] * 10, rel=0.12)


def test_each_step_sees_every_side():
    for cameras in drawn(orbit(n_views=4), 200):
        quadrants = ((cameras.azimuth_deg + 180) / 90).floor()
        assert sorted(quadrants.tolist()) == [0, 1, 2, 3]


def test_every_step_has_new_views_and_there_is_no_end_of_them():
    views = orbit(n_views=2)
    assert views.all_cameras(4, CPU) is None
    assert len({tuple(row) for c in drawn(views, 20) for row in c.c2w.flatten(1).tolist()}) == 40


def test_poles_are_avoided():
    elevation = torch.cat([c.elevation_deg for c in drawn(orbit(elevation_deg=(60.0, 90.0)))])
    assert float(elevation.max()) <= 88


def test_ranges_of_the_model_on_demand():
    assert orbit(from_model=True, n_views=2).ranges == CameraRanges((-45.0, 85.0), (1.4, 1.8), (42.0, 52.0))
    assert orbit(from_model=True, n_views=2).n_views == 2
    assert orbit().ranges == USUAL, "the recipe's own stay"


def test_a_model_that_says_nothing_of_its_cameras_cannot_give_ranges():
    chosen = Choice(Orbit, Orbit.Config(from_model=True), "system.views")
    with pytest.raises(UserError, match=r"^system\.views\.from_model: .* no world\.json.*; give elevation_deg"):
        chosen.build(guidance(), 0)


def test_shown_views_go_once_around_from_the_front():
    cameras = cameras_around(USUAL, 20.0, 4, 8)
    assert cameras.azimuth_deg.tolist() == [0, 90, 180, 270]
    torch.testing.assert_close(cameras.c2w[0, 0, 3], torch.tensor(0.0))
    assert cameras.c2w[0, 2, 3] > 0, "the first camera stands on +z"
    assert cameras.elevation_deg.tolist() == [20] * 4
    assert distance(cameras).tolist() == pytest.approx([1.25] * 4)
    above = CameraRanges((30.0, 60.0), (1.0, 1.5), (40.0, 70.0))
    assert cameras_around(above, 20.0, 1, 8).elevation_deg.tolist() == [30]


def test_people_look_from_the_recipes_elevation():
    assert orbit(shown_elevation_deg=35.0).around(3, 8, CPU).elevation_deg.tolist() == [35] * 3


def test_spread_views_leave_no_large_gap():
    n = 24
    views = orbit(elevation_deg=(-90.0, 90.0))
    cameras = views.everywhere(n, 8, CPU)
    torch.testing.assert_close(cameras.c2w, cameras_everywhere(views.ranges, n, 8).c2w)
    toward = torch.nn.functional.normalize(cameras.c2w[:, :3, 3], dim=-1)
    anywhere = torch.nn.functional.normalize(torch.randn(5000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    farthest = (anywhere @ toward.T).amax(dim=1).min().clamp(-1, 1).acos()
    # n caps that cover the sphere without overlap would have this radius; a good spread needs less than twice that.
    assert float(farthest) < 2 * math.acos(1 - 2 / n)


def test_guidance_that_an_orbit_does_not_fit_is_told_why():
    known = ViewNeeds(cameras=cameras_around(USUAL, 20.0, 3, 1))
    assert orbit().misfit(ViewNeeds()) is None
    assert orbit().misfit(known) == "knows pictures from a few cameras alone; use {type: posed-pictures}"
    together = orbit().misfit(ViewNeeds(n_together=4))
    assert together == "looks at 4 views together, these come 1 by 1; use {type: multi-view}"


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"radius": (2.0, 1.0)}, r"radius: the range \[2, 1\] runs downwards"),
        ({"radius": (0.0, 1.0)}, "radius: above 0"),
        ({"elevation_deg": (-91.0, 0.0)}, "elevation_deg: from -90 to 90"),
        ({"fovy_deg": (10.0, 180.0)}, "fovy_deg: between 0 and 180"),
        ({"n_views": 0}, "n_views: at least 1"),
    ],
)
def test_nonsense_is_refused(settings: dict, complaint: str):
    with pytest.raises(UserError, match=complaint):
        Orbit.Config(**settings)


@pytest.mark.parametrize("name", ["spread", "opened", "first_azimuth_deg"])
def test_what_narrows_an_orbit_is_told_its_part(name: str):
    with pytest.raises(UserError, match=rf"{name}: no such setting of orbit\. Say type: multi-view"):
        read_settings(Orbit.Config, {name: 0.5}, owner="orbit")

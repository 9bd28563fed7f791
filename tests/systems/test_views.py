"""Where views are taken from."""

import math

import pytest
import torch

from core.cameras import ViewBins, view_names
from core.errors import UserError
from core.schedule import Schedule
from core.types import Cameras
from core.world import World
from systems.random_streams import stream
from systems.views import Views, random_views, shown_views, spread_views

WORLD = World(0.5, (-45.0, 85.0), (1.4, 1.8), (42.0, 52.0), ViewBins(), {}, ())


def _many(views: Views, n_steps: int = 3000) -> list[Cameras]:
    return [random_views(views, 4, stream(0, "training", step)) for step in range(n_steps)]


def test_ranges_are_kept_and_filled():
    views = Views(elevation_deg=(-30.0, 60.0), radius=(1.4, 1.8), fovy_deg=(42.0, 52.0))
    drawn = _many(views)
    elevation = torch.cat([c.elevation_deg for c in drawn])
    distance = torch.cat([c.c2w[:, :3, 3].norm(dim=-1) for c in drawn])
    fovy = torch.cat([c.fovy_deg for c in drawn])
    for values, (low, high) in ((elevation, (-30, 60)), (distance, (1.4, 1.8)), (fovy, (42, 52))):
        assert low - 1e-4 <= float(values.min()) < low + 0.02 * (high - low)
        assert high + 1e-4 >= float(values.max()) > high - 0.02 * (high - low)


def test_directions_are_uniform_over_the_sphere():
    elevation = torch.cat([c.elevation_deg for c in _many(Views(elevation_deg=(-90.0, 90.0)))])
    counts = elevation.deg2rad().sin().histc(10, -1, 1)  # equal heights of a sphere have equal areas
    assert counts.tolist() == pytest.approx([1200] * 10, rel=0.12)


def test_uniform_in_angle_on_demand():
    elevation = torch.cat([c.elevation_deg for c in _many(Views(elevation_deg=(-60.0, 60.0), uniform_in="angle"))])
    assert elevation.histc(10, -60, 60).tolist() == pytest.approx([1200] * 10, rel=0.12)


def test_each_step_sees_every_side():
    for cameras in _many(Views(n_views=4), 200):
        quadrants = ((cameras.azimuth_deg + 180) / 90).floor()
        assert sorted(quadrants.tolist()) == [0, 1, 2, 3]


def test_poles_are_avoided():
    elevation = torch.cat([c.elevation_deg for c in _many(Views(elevation_deg=(60.0, 90.0)))])
    assert float(elevation.max()) <= 88


def test_ranges_of_the_model():
    settled = Views(from_model=True, n_views=2).settled(WORLD, None)
    assert (settled.elevation_deg, settled.radius, settled.fovy_deg) == ((-45, 85), (1.4, 1.8), (42, 52))
    assert settled.n_views == 2


def test_a_model_without_a_world_cannot_give_ranges():
    with pytest.raises(UserError, match=r"system\.cameras\.from_model: .* no world\.json.*; give elevation_deg"):
        Views(from_model=True).settled(None, None)


def test_the_recipes_own_ranges_stay():
    assert Views().settled(WORLD, None) == Views()


def test_known_cameras_are_the_only_ones():
    known = shown_views(Views(), 5, 8)
    views = Views(n_views=3).settled(WORLD, known)
    drawn = torch.cat([random_views(views, 16, stream(0, "training", i), known).c2w for i in range(50)])
    nearest = (drawn.flatten(1)[:, None] - known.c2w.flatten(1)).norm(dim=-1).min(dim=1)
    assert float(nearest.values.max()) == 0
    assert set(nearest.indices.tolist()) == {0, 1, 2, 3, 4}
    assert views.elevation_deg == pytest.approx((20, 20))


def test_shown_views_go_once_around_from_the_front():
    cameras = shown_views(Views(), 4, 8)
    assert cameras.azimuth_deg.tolist() == [0, 90, 180, 270]
    torch.testing.assert_close(cameras.c2w[0, 0, 3], torch.tensor(0.0))
    assert cameras.c2w[0, 2, 3] > 0, "the first camera stands on +z"
    assert cameras.elevation_deg.tolist() == [20] * 4
    assert shown_views(Views(elevation_deg=(30.0, 60.0)), 1, 8).elevation_deg.tolist() == [30]


def test_spread_views_leave_no_large_gap():
    n = 24
    cameras = spread_views(Views(elevation_deg=(-90.0, 90.0)), n, 8)
    toward = torch.nn.functional.normalize(cameras.c2w[:, :3, 3], dim=-1)
    anywhere = torch.nn.functional.normalize(torch.randn(5000, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    farthest = (anywhere @ toward.T).amax(dim=1).min().clamp(-1, 1).acos()
    # n caps that cover the sphere without overlap would have this radius; a good spread needs less than twice that.
    assert float(farthest) < 2 * math.acos(1 - 2 / n)


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
        Views(**settings)


def test_a_spread_below_one_draws_views_to_the_middle_of_their_word():
    views = Views(elevation_deg=(-45.0, 85.0), radius=(1.4, 1.8), fovy_deg=(42.0, 52.0), n_views=16)
    bins = ViewBins(overhead_deg=60.0, bottom_deg=-30.0, front_half_width_deg=35.0)
    middles = {"front": (0.0, 15.0), "side": (90.0, 15.0), "back": (180.0, 15.0), "overhead": (None, 72.5)}
    middles["bottom"] = (None, -37.5)
    for step in range(50):
        whole, narrow, point = (
            random_views(views, 4, stream(0, "training", step), None, spread=spread, bins=bins)
            for spread in (1.0, 0.25, 0.0)
        )
        words = view_names(whole, bins)
        assert view_names(narrow, bins) == words, "no view changes its word"
        assert view_names(point, bins) == words
        for i, word in enumerate(words):
            azimuth, elevation = middles[word]
            assert float(point.elevation_deg[i]) == pytest.approx(elevation)
            if azimuth is not None:
                assert float(point.azimuth_deg[i].abs()) == pytest.approx(azimuth)
        for name in ("elevation_deg", "azimuth_deg", "fovy_deg"):
            moved = getattr(point, name) + 0.25 * (getattr(whole, name) - getattr(point, name))
            torch.testing.assert_close(getattr(narrow, name), moved, atol=1e-3, rtol=0)
        assert float(point.c2w[:, :3, 3].norm(dim=-1).std()) < 1e-5


def test_views_begin_on_one_side_and_open_to_the_whole_circle():
    views = Views(first_azimuth_deg=(-40.0, 100.0), opened=Schedule.ramp(0.0, 1.0), n_views=4)

    def reach(opened: float) -> tuple[float, float]:
        drawn = [random_views(views, 4, stream(0, "training", step), opened=opened).azimuth_deg for step in range(300)]
        return float(torch.cat(drawn).min()), float(torch.cat(drawn).max())

    assert reach(0.0) == pytest.approx((-40, 100), abs=2)
    assert reach(0.5) == pytest.approx((-110, 140), abs=2)
    assert reach(1.0) == pytest.approx((-180, 180), abs=2)


def test_every_view_of_a_step_has_a_part_of_the_open_range_to_itself():
    views = Views(first_azimuth_deg=(-40.0, 100.0), opened=Schedule.ramp(0.0, 1.0), n_views=4)
    for step in range(20):
        azimuth = random_views(views, 4, stream(0, "training", step), opened=0.0).azimuth_deg
        assert ((azimuth + 40) / 35).floor().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("wrong", [(100.0, -40.0), (-200.0, 0.0), (10.0, 10.0)])
def test_the_first_azimuths_are_a_range_of_the_circle(wrong: tuple[float, float]):
    with pytest.raises(UserError, match="first_azimuth_deg: two rising numbers from -180 to 180, got"):
        Views(first_azimuth_deg=wrong, opened=Schedule.ramp(0.0, 1.0))


def test_first_azimuths_that_would_never_be_seen_are_refused():
    with pytest.raises(UserError, match="first_azimuth_deg: does nothing while opened is 1"):
        Views(first_azimuth_deg=(-35.0, 110.0))


def test_how_far_the_range_has_opened_is_a_share():
    with pytest.raises(UserError, match=r"opened: a share from 0 to 1, got \[-0.5\]"):
        Views(opened=Schedule.constant(-0.5))


def test_a_spread_is_a_share():
    with pytest.raises(UserError, match=r"spread: a share from 0 to 1, got \[1.5\]"):
        Views(spread=Schedule.constant(1.5))

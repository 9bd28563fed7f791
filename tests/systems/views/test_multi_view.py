"""Views that belong together: what they have in common, and how they lie around the object."""

from typing import Any

import pytest
import torch
from torch import Tensor

from core.chance import stream
from core.errors import UserError
from core.types import ViewNeeds
from systems.views.multi_view import MultiView
from systems.views.orbit import Orbit
from tests.systems.views.small_views import distance, drawn, guidance

RANGES: dict[str, Any] = {"elevation_deg": (0.0, 30.0), "radius": (0.8, 1.0), "fovy_deg": (15.0, 60.0)}


def _views(n_together: int = 4, **settings: Any) -> MultiView:
    config = MultiView.Config(**{**RANGES, **settings})
    return MultiView(config, guidance(needs=ViewNeeds(n_together=n_together)), 0)


def _apart(azimuth_deg: Tensor) -> Tensor:
    """Angles from each view to the next one around the circle, from 0 to 360 degrees."""
    return (azimuth_deg.roll(-1, dims=-1) - azimuth_deg) % 360


@pytest.mark.parametrize("n_together", [1, 3, 4])
def test_views_of_an_object_are_evenly_apart_and_share_the_rest(n_together: int):
    views = _views(n_together, n_objects=2)
    assert (views.n_views, views.n_together) == (2 * n_together, n_together)
    for cameras in drawn(views, 20):
        assert len(cameras) == 2 * n_together
        for some in (cameras[:n_together], cameras[n_together:]):
            gaps = _apart(some.azimuth_deg) if n_together > 1 else torch.tensor([360.0])
            torch.testing.assert_close(gaps, torch.full_like(gaps, 360 / n_together), atol=1e-3, rtol=0)
            for common in (some.elevation_deg, some.fovy_deg, distance(some)):
                torch.testing.assert_close(common, common[:1].expand_as(common))


def test_objects_have_cameras_of_their_own():
    cameras = _views(n_objects=3).draw(8, 0, 1, stream(0, "training", 0))
    assert len(set(cameras.elevation_deg.tolist())) == 3
    assert len({round(float(azimuth) % 90, 1) for azimuth in cameras.azimuth_deg}) == 3


def test_the_start_is_anywhere():
    starts = torch.cat([cameras.azimuth_deg for cameras in drawn(_views())])
    assert float(starts.min()) >= -180
    assert float(starts.max()) < 180
    counts = starts.histc(8, -180, 180)
    assert float(counts.min()) > 0.7 * len(starts) / 8


def test_objects_of_a_step_divide_the_sector_between_two_views():
    for cameras in drawn(_views(4, n_objects=3), 50):
        starts = sorted(float(azimuth) % 90 for azimuth in cameras.azimuth_deg[::4])
        assert [int(start // 30) for start in starts] == [0, 1, 2]


def test_ranges_are_kept_and_filled():
    steps = drawn(_views())
    elevation, fovy = (torch.cat([getattr(c, name) for c in steps]) for name in ("elevation_deg", "fovy_deg"))
    radius = torch.cat([distance(c) for c in steps])
    for values, (low, high) in ((elevation, (0, 30)), (fovy, (15, 60)), (radius, (0.8, 1.0))):
        assert low - 1e-4 <= float(values.min()) < low + 0.05 * (high - low)
        assert high + 1e-4 >= float(values.max()) > high - 0.05 * (high - low)


def test_independent_views_share_nothing_but_see_all_sides():
    cameras = _views(independent=True).draw(8, 0, 1, stream(0, "training", 0))
    assert len(set(cameras.elevation_deg.tolist())) == 4
    assert len(set(cameras.fovy_deg.tolist())) == 4
    for some in drawn(_views(independent=True), 100):
        gaps = _apart(some.azimuth_deg)
        assert float(gaps.sum()) == pytest.approx(360, abs=1e-2), "in order around the circle"
        assert float(gaps.max()) < 180


def test_framed_cameras_show_an_object_in_one_size():
    """A disc of radius 1 around the origin takes 1 / d of half the picture, at the distance d / tan(fovy / 2)."""
    views = _views(framed=True, radius=(0.9, 0.9))
    for cameras in [*drawn(views, 20), views.around(4, 8, torch.device("cpu"))]:
        half_picture = distance(cameras) * (cameras.fovy_deg.deg2rad() / 2).tan()
        torch.testing.assert_close(half_picture, torch.full_like(half_picture, 0.9))


def test_fixed_views_are_an_orbits():
    orbit, cpu = Orbit(Orbit.Config(**RANGES), guidance(), 0), torch.device("cpu")
    for mine, theirs in (
        (_views().around(5, 8, cpu), orbit.around(5, 8, cpu)),
        (_views().everywhere(7, 8, cpu), orbit.everywhere(7, 8, cpu)),
    ):
        torch.testing.assert_close(mine.c2w, theirs.c2w)


def test_chance_comes_from_the_generator_alone():
    first, again, other = (_views(n_objects=2).draw(8, 0, 1, stream(0, "training", step)) for step in (0, 0, 1))
    assert torch.equal(first.c2w, again.c2w)
    assert not torch.equal(first.c2w, other.c2w)


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="n_objects: at least 1, got 0"):
        MultiView.Config(n_objects=0)
    with pytest.raises(UserError, match=r"framed: a model's own distances \(from_model\) are absolute"):
        MultiView.Config(framed=True, from_model=True)
    with pytest.raises(UserError, match=r"fovy_deg: the range \[60, 15\] runs downwards"):
        MultiView.Config(fovy_deg=(60.0, 15.0))

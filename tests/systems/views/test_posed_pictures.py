"""Training views from the cameras of known pictures."""

import pytest
import torch

from core.errors import UserError
from core.part import Choice
from core.types import ViewNeeds
from systems.views.orbit import CameraRanges, cameras_around
from systems.views.posed_pictures import PosedPictures
from tests.systems.views.small_views import drawn, guidance

KNOWN = cameras_around(CameraRanges((-60.0, 90.0), (1.0, 1.5), (40.0, 70.0)), 20.0, 5, 1)
CPU = torch.device("cpu")


def posed(n_views: int = 3) -> PosedPictures:
    return PosedPictures(PosedPictures.Config(n_views=n_views), guidance(needs=ViewNeeds(cameras=KNOWN)), 0)


def test_known_cameras_are_the_only_ones_and_all_of_them_come():
    cameras = drawn(posed(), 50)
    assert {(len(few), few.height, few.width) for few in cameras} == {(3, 4, 4)}
    seen = {tuple(row) for few in cameras for row in few.c2w.flatten(1).tolist()}
    assert seen == {tuple(row) for row in KNOWN.c2w.flatten(1).tolist()}
    assert torch.equal(posed().all_cameras(4, CPU).c2w, KNOWN.c2w)


def test_people_look_from_where_the_pictures_were_taken():
    views = posed()
    assert views.ranges.elevation_deg == pytest.approx((20, 20))
    assert views.ranges.radius == pytest.approx((1.25, 1.25))
    assert views.ranges.fovy_deg == pytest.approx((55, 55))
    assert views.everywhere(4, 8, CPU).elevation_deg.tolist() == pytest.approx([20] * 4, abs=1e-3)


def test_they_are_what_guidance_by_known_pictures_needs():
    assert posed().misfit(ViewNeeds(cameras=KNOWN)) is None
    assert (
        posed().misfit(ViewNeeds(n_together=2))
        == "looks at 2 views together, these come 1 by 1; use {type: multi-view}"
    )


def test_guidance_that_knows_no_pictures_is_named():
    chosen = Choice(PosedPictures, PosedPictures.Config(), "system.views")
    with pytest.raises(UserError, match=r"^system\.views\.type: 'target-image' knows no pictures of its own; use {typ"):
        chosen.build(guidance(), 0)

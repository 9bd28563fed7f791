"""A fixed set of cameras, from which each step takes a few."""

import pytest
import torch

from core.errors import UserError
from core.types import ViewNeeds
from systems.views.pool import CameraPool
from tests.systems.views.small_views import distance, drawn, guidance

CPU = torch.device("cpu")


def pool(seed: int = 0, n_views: int = 4, size: int = 16) -> CameraPool:
    return CameraPool(CameraPool.Config(n_views=n_views, size=size, radius=(1.2, 1.3)), guidance(), seed)


def test_each_step_sees_every_side_of_the_pool():
    cameras = drawn(pool(), 100)
    for few in cameras:
        assert ((few.azimuth_deg + 180) / 90).floor().tolist() == [0, 1, 2, 3]
        assert bool(((distance(few) > 1.19) & (distance(few) < 1.31)).all())
    different = {tuple(row) for few in cameras for row in few.c2w.flatten(1).tolist()}
    assert len(different) == 16, "the whole pool is used, and nothing else"
    assert different == {tuple(row) for row in pool().all_cameras(4, CPU).c2w.flatten(1).tolist()}


def test_the_pool_is_that_of_its_seed_at_every_size():
    first, again, other = pool(), pool(), pool(seed=1)
    assert torch.equal(first.all_cameras(4, CPU).c2w, again.all_cameras(64, CPU).c2w)
    assert again.all_cameras(4, CPU).height == 4
    assert not torch.equal(first.all_cameras(4, CPU).c2w, other.all_cameras(4, CPU).c2w)


def test_a_pool_is_a_multiple_of_a_steps_views_and_no_smaller():
    assert len(pool(n_views=3).all_cameras(4, CPU)) == 15
    assert len(pool(n_views=4, size=1).all_cameras(4, CPU)) == 4
    with pytest.raises(UserError, match="size: at least 1, got 0"):
        pool(size=0)


def test_cameras_of_a_pool_are_few_but_known_pictures_have_others():
    """They are the pool's own: guidance that has pictures from some cameras alone knows none of these."""
    known = ViewNeeds(cameras=pool(seed=1).all_cameras(1, CPU))
    assert pool().misfit(ViewNeeds()) is None
    assert pool().misfit(known) == "knows pictures from a few cameras alone; use {type: posed-pictures}"

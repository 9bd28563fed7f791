"""What each step of the multi-view training does and learns from."""

from collections import Counter

import pytest
import torch

from toybox.view_plan import COARSE, FINE, ViewSettings, ViewSupply
from toybox.view_sets import N_VIEWS, SET_PICTURES


def test_phases_follow_each_other():
    settings = ViewSettings(mean_steps=10, coarse_steps=20, fine_steps=10, warmup=5, landing=0.25)
    rng = torch.Generator().manual_seed(0)
    assert {settings.size_at(step) for step in range(30)} == {COARSE}
    assert [settings.since_fine(step) for step in (29, 30, 39)] == [-1, 0, 9]
    assert [settings.rate_at(step) / settings.mean_rate for step in (0, 4, 9)] == pytest.approx([0.2, 1, 1])
    assert {settings.views_at(step) for step in range(10)} == {1}
    assert [settings.views_at(step) for step in range(10, 14)] == [1, N_VIEWS, 1, N_VIEWS]
    assert settings.shares_at(9, 64, rng).min() >= settings.mean_from
    shares = settings.shares_at(10, 1000, rng)
    assert (shares > settings.noisy_from).float().mean().item() == pytest.approx(settings.noisy, abs=0.002)
    below = shares[shares <= settings.noisy_from] / settings.noisy_from
    assert below.mean().item() == pytest.approx(0.5, abs=0.01)
    assert shares.min() >= 0
    assert shares.max() < 1
    assert settings.rate_at(30) == settings.rate
    assert settings.rate_at(35) == pytest.approx(settings.rate / 2)
    assert settings.rate_at(39) < settings.rate_at(38)


def test_fine_steps_keep_the_coarse_size_in_mind_with_every_number_of_views():
    settings = ViewSettings(mean_steps=10, coarse_steps=20, fine_steps=100)
    taken = Counter((settings.size_at(step), settings.views_at(step)) for step in range(30, 130))
    assert taken == {(size, views): 25 for size in (COARSE, FINE) for views in (1, N_VIEWS)}


def test_one_more_set_is_drawn_from_whenever_as_many_pictures_have_been_learnt_from_often_enough():
    settings = ViewSettings(mean_steps=1, coarse_steps=9, fine_steps=40, first_sets=3, most_sets=5, uses=2)
    for steps in range(1, settings.steps + 1):
        for size, batch in ((COARSE, settings.coarse_batch), (FINE, settings.fine_batch)):
            before = sum(settings.size_at(step) == size for step in range(steps)) - 1
            wanted = 0 if before < 0 else min(5, 3 + before * batch // (2 * SET_PICTURES))
            assert settings.sets_of(size, steps) == wanted
    assert (settings.sets_of(COARSE), settings.sets_of(FINE)) == (5, 4)


def test_supply_is_a_function_of_the_step(tmp_path, vae, few_steps):
    one, same = (ViewSupply(tmp_path, vae, few_steps) for _ in range(2))
    for step in (0, 3):
        mine = one.at(step)
        assert mine.latents.shape[1] == few_steps.views_at(step)
        assert len(mine.views()) == few_steps.coarse_batch
        assert torch.equal(mine.latents, same.at(step).latents)
    assert not torch.equal(one.at(0).cameras, one.at(1).cameras)

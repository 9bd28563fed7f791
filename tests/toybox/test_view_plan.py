"""What each step of the multi-view training does and learns from."""

import pytest
import torch

from toybox.view_plan import COARSE, FINE, ViewSettings, ViewSupply
from toybox.view_sets import N_VIEWS


def test_phases_follow_each_other():
    settings = ViewSettings(mean_steps=10, coarse_steps=20, fine_steps=10, landing=0.25)
    rng = torch.Generator().manual_seed(0)
    assert [settings.size_at(step) for step in (0, 29, 30, 39)] == [COARSE, COARSE, FINE, FINE]
    assert [settings.since_size(step) for step in (29, 30, 39)] == [29, 0, 9]
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


def test_a_training_that_is_cut_short_has_drawn_from_fewer_sets():
    settings = ViewSettings(mean_steps=10, coarse_steps=20, fine_steps=10, first_sets=5, steps_a_set=2, most_sets=16)
    assert [settings.sets_of(COARSE, steps) for steps in (1, 10, 30, 40)] == [5, 9, 16, 16]
    assert [settings.sets_of(FINE, steps) for steps in (10, 30, 31, 40)] == [0, 0, 5, 9]
    assert (settings.sets_of(COARSE), settings.sets_of(FINE)) == (16, 9)


def test_supply_is_a_function_of_the_step(tmp_path, vae, few_steps):
    one, same = (ViewSupply(tmp_path, vae, few_steps) for _ in range(2))
    for step in (0, 3):
        mine = one.at(step)
        assert mine.latents.shape[1] == few_steps.views_at(step)
        assert len(mine.views()) == few_steps.coarse_batch
        assert torch.equal(mine.latents, same.at(step).latents)
    assert not torch.equal(one.at(0).cameras, one.at(1).cameras)

"""What fits another run's result and what does not, and how that is said."""

from typing import Any

import pytest
import torch

from core.continuation import copy_trained
from core.errors import UserError
from core.part import Choice
from geometry.latent_field import HashGridField
from geometry.rgb_field import RGBField


def grid(seed: int = 0, **settings: Any) -> HashGridField:
    return Choice(HashGridField, _config(**settings), "system.geometry").build(_seeded(seed, 4))


def _config(**settings: Any) -> HashGridField.Config:
    return HashGridField.Config(**{"log2_table_size": 6, "n_levels": 2, **settings})


def _seeded(seed: int, n_channels: int) -> int:
    torch.manual_seed(seed)
    return n_channels


def colours(**settings: Any) -> RGBField:
    config = RGBField.Config(inner=Choice(HashGridField, _config(**settings), "system.geometry.inner"))
    return Choice(RGBField, config, "system.geometry").build(3)


def copied(mine: Any, theirs: Any) -> None:
    copy_trained(mine, theirs, mine.free_settings)


def test_what_was_trained_is_copied_and_nothing_is_shared():
    mine, theirs = grid(0), grid(1)
    positions = torch.rand(50, 3)
    assert not torch.equal(mine(positions).features, theirs(positions).features)
    copied(mine, theirs)
    assert torch.equal(mine(positions).features, theirs(positions).features)
    with torch.no_grad():
        next(theirs.parameters()).add_(1)
    assert not torch.equal(mine(positions).features, theirs(positions).features)


def test_rates_backends_and_the_first_ball_are_free():
    rates: dict[str, Any] = {"grid_learning_rate": 0.5, "mlp_learning_rate": 0.1}
    copied(grid(), grid(**rates, backend="auto", blob_height=6.0))


def test_all_settings_that_differ_are_named_in_one_sentence():
    here, there = grid(bound=0.6), grid(bound=0.8, n_hidden_layers=2)
    with pytest.raises(UserError) as error:
        copied(here, there)
    assert str(error.value) == (
        "--from: the run does not fit system.geometry of this recipe: n_hidden_layers is 2 there and 1 here, "
        "bound is 0.8 there and 0.6 here; give system.geometry.n_hidden_layers=2 system.geometry.bound=0.8"
    )


def test_settings_of_a_field_within_a_field_are_compared_too():
    with pytest.raises(UserError, match=r"inner\.blob_radius is 0\.3 there and 0\.2 here"):
        copied(colours(blob_radius=0.2), colours(blob_radius=0.3))


def test_another_kind_of_field_is_named():
    with pytest.raises(UserError, match=r"this recipe: it has trained a 'rgb-field', not a 'hash-grid'$"):
        copied(grid(), colours())


def test_a_part_that_code_has_made_is_named_by_its_kind():
    with pytest.raises(
        UserError, match=r"^--from: the run does not fit geometry of this recipe: bound is .*give bound"
    ):
        copied(HashGridField(_config(bound=0.9), 4), grid())


def test_the_same_settings_with_other_tensors_are_refused_in_one_line():
    with pytest.raises(UserError) as error:
        copied(HashGridField(_config(), 3), grid())
    assert "size mismatch" in str(error.value)
    assert len(str(error.value).splitlines()) == 1

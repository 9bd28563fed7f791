"""A latent field seen as colours."""

import pytest
import torch

from core.errors import UserError
from core.part import Choice
from geometry.latent_field import HashGridField
from geometry.rgb_field import RGBField


def made() -> RGBField:
    small = Choice.of(HashGridField, n_levels=2, base_resolution=4, finest_resolution=8, log2_table_size=10)
    return RGBField(RGBField.Config(small, n_latents=4), 3)


def test_colours_are_the_linear_map_of_the_latents_and_the_density_is_the_fields():
    field, rng = made(), torch.Generator().manual_seed(0)
    matrix, bias = torch.randn(3, 4, generator=rng), torch.randn(3, generator=rng)
    field.set_colour(matrix, bias)
    points = torch.rand(50, 3, generator=rng) - 0.5
    with torch.no_grad():
        seen, inner = field(points), field.inner(points)
    torch.testing.assert_close(seen.features, (inner.features @ matrix.T + bias + 1) / 2)
    assert torch.equal(seen.density, inner.density)
    with torch.no_grad():
        assert torch.equal(field.density(points), inner.density)
    assert field.bound == field.inner.bound


def test_every_parameter_is_in_one_group_and_the_layer_has_its_own_rate():
    field = made()
    groups = field.parameter_groups()
    grouped = [parameter for group in groups for parameter in group["params"]]
    assert sorted(map(id, grouped)) == sorted(map(id, field.parameters()))
    assert groups[-1]["lr"] == 1e-3
    assert {id(parameter) for parameter in groups[-1]["params"]} == set(map(id, field.colour.parameters()))


def test_latents_are_refused():
    with pytest.raises(
        UserError, match="'rgb-field' shows colours, and guidance wants 4 channels; its guidance is 'rgb'"
    ):
        RGBField(made().config, 4)

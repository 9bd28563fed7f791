"""The latent field: its density in closed form without the network, its border, its groups and its refusals."""

import math
from typing import Any

import pytest
import torch

from core.errors import UserError
from geometry.latent_field import HashGridField, trunc_exp

SMALL = {"n_levels": 3, "finest_resolution": 16, "log2_table_size": 10, "hidden_width": 8}


def field(**settings: Any) -> HashGridField:
    return HashGridField(HashGridField.Config(**{**SMALL, **settings}), 4)


def test_trunc_exp_is_exp_with_its_own_slope_up_to_15() -> None:
    x = torch.tensor([-20.0, 0.0, 1.0, 14.9], dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(trunc_exp(x), x.exp())
    torch.autograd.gradcheck(trunc_exp, (x,), rtol=1e-4)


def test_trunc_exp_stays_finite_beyond_15_and_still_pulls_back() -> None:
    x = torch.tensor([15.5, 40.0, 1000.0], requires_grad=True)
    value = trunc_exp(x)
    value.sum().backward()
    torch.testing.assert_close(value, torch.full((3,), math.exp(15.0)))
    torch.testing.assert_close(x.grad, torch.full((3,), math.exp(15.0)))


def ball_alone(height: float) -> HashGridField:
    made = field(blob_height=height, blob_radius=0.3, density_offset=-5.0, bound=0.7)
    with torch.no_grad():
        for parameter in made.mlp.parameters():
            parameter.zero_()
    return made


def test_without_the_network_the_density_is_the_blob() -> None:
    made = ball_alone(10.0)
    points = torch.tensor([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [0.0, 0.42, 0.42]])
    by_hand = [math.exp(10 - 5), math.exp(10 * math.exp(-0.5) - 5), math.exp(10 * math.exp(-0.3528 / 0.18) - 5)]
    torch.testing.assert_close(made(points).density, torch.tensor(by_hand))


def test_nothing_is_outside_of_the_ball() -> None:
    made = field(bound=0.5)
    corner = 0.5 / 3**0.5
    inside, outside = [corner * 0.999] * 3, [corner * 1.001] * 3
    density = made(torch.tensor([inside, outside, [5.0, 0.0, 0.0], [-9.0, 99.0, 1e6]])).density
    assert density[0] > 0
    assert density[1:].tolist() == [0.0, 0.0, 0.0]


def test_features_have_no_bounds_and_the_asked_number_of_channels() -> None:
    made = field()
    with torch.no_grad():
        made.get_parameter("mlp.2.bias").copy_(torch.tensor([0.0, 50.0, -50.0, 0.0, 1.0]))
    features = made(torch.zeros(2, 3)).features
    torch.testing.assert_close(features, torch.tensor([[50.0, -50.0, 0.0, 1.0]] * 2), atol=0.01, rtol=0)


def test_every_parameter_is_in_exactly_one_group() -> None:
    made = field(grid_learning_rate=0.02, mlp_learning_rate=0.003)
    groups = made.parameter_groups()
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(grouped) == sorted(id(parameter) for parameter in made.parameters())
    assert {id(table): 0.02 for table in made.grid.parameters()}.items() <= {
        id(parameter): group["lr"] for group in groups for parameter in group["params"]
    }.items()


def test_it_learns_a_density_and_a_colour() -> None:
    torch.manual_seed(0)
    made = field(grid_learning_rate=0.03, mlp_learning_rate=0.01)
    optimizer = torch.optim.Adam(made.parameter_groups(), betas=(0.9, 0.99), eps=1e-15)
    points = torch.rand(256, 3) - 0.5
    inside = points[:, 0] > 0
    for _ in range(80):
        output = made(points)
        loss = (torch.log(output.density + 1e-6) - 6.0 * inside + 3).square().mean()
        loss = loss + (output.features[:, 0] - inside.float()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    output = made(points)
    assert output.density[inside].median() > 10
    assert output.density[~inside].median() < 0.1
    assert output.features[inside, 0].median() > 0.8
    assert output.features[~inside, 0].median() < 0.2


def test_a_state_comes_back_whole() -> None:
    first, second = field(), field()
    points = torch.rand(20, 3) - 0.5
    assert not torch.equal(first(points).features, second(points).features)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(points).features, second(points).features)
    assert torch.equal(first(points).density, second(points).density)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"n_levels": 0}, "n_levels: from 1 to 32, got 0"),
        ({"n_features": 3}, "n_features: 2, 4 or 8, got 3"),
        (
            {"base_resolution": 64, "finest_resolution": 8},
            r"finest_resolution: from base_resolution \(64\) to 65536, got 8",
        ),
        ({"bound": 0.0}, "bound: above 0, got 0"),
        ({"log2_table_size": 40}, "log2_table_size: from 3 to 24, got 40"),
    ],
)
def test_nonsense_is_refused(settings: dict[str, Any], text: str) -> None:
    with pytest.raises(UserError, match=f"^{text}"):
        HashGridField.Config(**settings)

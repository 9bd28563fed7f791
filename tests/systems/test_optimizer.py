"""Adam over the groups that the parts declare."""

from typing import Any

import pytest
import torch
from torch import nn

from core.errors import UserError
from core.schedule import Schedule
from systems.optimizer import AdamSettings, check_groups, check_same_tensors


@pytest.mark.parametrize(
    ("settings", "complaint"), [({"betas": (0.9, 1.0)}, "betas: from 0 to below 1"), ({"eps": 0.0}, "eps: above 0")]
)
def test_settings_out_of_range(settings: dict[str, Any], complaint: str):
    with pytest.raises(UserError, match=complaint):
        AdamSettings(**settings)


def test_rates_follow_their_schedule_and_groups_keep_their_own():
    parameters = [nn.Parameter(torch.ones(1)) for _ in range(2)]
    groups = [{"params": [parameters[0]], "lr": 0.4}, {"params": [parameters[1]], "lr": 0.02}]
    made = AdamSettings(rate=Schedule.ramp(1.0, 0.0), betas=(0.5, 0.6), eps=0.25).over(groups, 4)
    adam, rate = made["optimizer"], made["lr_scheduler"]["scheduler"]
    for done in range(4):
        assert [group["lr"] for group in adam.param_groups] == pytest.approx(
            [0.4 * (1 - done / 4), 0.02 * (1 - done / 4)]
        )
        adam.step()
        rate.step()
    assert {(group["betas"], group["eps"]) for group in adam.param_groups} == {((0.5, 0.6), 0.25)}


def test_a_parameter_that_no_group_or_two_groups_hold_is_a_mistake_in_the_part():
    layer = nn.Linear(1, 1)
    check_groups(layer, [{"params": [layer.weight]}, {"params": [layer.bias]}])
    with pytest.raises(TypeError, match="bias is in 0 parameter groups; one is right"):
        check_groups(layer, [{"params": [layer.weight]}])
    with pytest.raises(TypeError, match="weight is in 2 parameter groups; one is right"):
        check_groups(layer, [{"params": [layer.weight, layer.bias]}, {"params": [layer.weight]}])
    layer.bias.requires_grad_(False)
    check_groups(layer, [{"params": [layer.weight]}])


def test_an_optimisers_state_of_other_tensors_is_refused():
    checkpoint = {"optimizer_states": [{"param_groups": [{"params": [0, 1, 2]}, {"params": [3]}]}]}
    groups = [{"params": [torch.ones(1)] * n} for n in (3, 1)]
    check_same_tensors(checkpoint, groups, "system.geometry")
    with pytest.raises(UserError, match=r"of \[3, 1\] tensors, this training has \[1\].*system\.geometry\.backend="):
        check_same_tensors(checkpoint, groups[1:], "system.geometry")

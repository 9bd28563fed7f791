"""Frozen networks move along and show themselves to nobody."""

import torch
from torch import nn

from guidance.frozen import FrozenNetworks


def test_no_optimiser_and_no_checkpoint_sees_them():
    holder = nn.ModuleDict({"guidance": FrozenNetworks(nn.Linear(2, 2), nn.Dropout())})
    assert list(holder.parameters()) == []
    assert holder.state_dict() == {}


def test_they_follow_to_device_and_dtype_and_stay_in_evaluation():
    linear, dropout = nn.Linear(2, 2), nn.Dropout()
    holder = nn.ModuleDict({"guidance": FrozenNetworks(linear, dropout)})
    holder.to("meta")
    assert linear.weight.device.type == "meta"
    holder.train()
    assert not dropout.training
    assert not linear.weight.requires_grad
    assert holder.double() is holder
    assert linear.weight.dtype == torch.float64

"""Kinds: what they promise is demanded of their parts."""

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from core.kinds import DensityField, Geometry, device_of
from core.part import find
from core.types import FieldOutput


class Fog(DensityField):
    """Density 2 everywhere."""

    bound, n_channels = 1.0, 1

    def __init__(self) -> None:
        super().__init__()
        self.level = nn.Parameter(torch.tensor(2.0))

    def forward(self, positions: Tensor) -> FieldOutput:
        return FieldOutput(self.level.expand(len(positions)), positions[:, :1])


def test_a_part_that_leaves_a_promise_open_cannot_be_built(registry: None) -> None:
    class Half(DensityField, name="half-a-field"):
        """Without forward."""

        @dataclass(frozen=True)
        class Config:
            pass

    with pytest.raises(TypeError, match=r"abstract method '?forward"):
        find("geometry", "half-a-field")()


def test_density_and_parameter_groups_by_default() -> None:
    fog = Fog()
    assert fog.density(torch.zeros(3, 3)).tolist() == [2.0, 2.0, 2.0]
    assert [group["params"] for group in fog.parameter_groups()] == [[fog.level]]
    assert fog.kind == Geometry.kind == "geometry"


def test_device_of_asks_parameters_then_buffers_then_says_cpu() -> None:
    buffered = nn.Module()
    buffered.register_buffer("b", torch.zeros(1, device="meta"))
    assert device_of(Fog().to("meta")).type == "meta"
    assert device_of(buffered).type == "meta"
    assert device_of(nn.Module()).type == "cpu"

"""Density fields with answers in closed form, for tests."""

import torch
from torch import Tensor

from core.kinds import DensityField
from core.types import FieldOutput


class Balls(DensityField):
    """A ball of constant density, or one that falls off softly through its surface; its colour is its position."""

    bound = 0.7
    n_channels = 3

    def __init__(self, radius: float, density: float, softness: float = 0.0) -> None:
        super().__init__()
        self.radius = radius
        self.inner = density
        self.softness = softness
        self.n_calls = 0
        self.n_points = 0

    def forward(self, positions: Tensor) -> FieldOutput:
        self.n_calls += 1
        self.n_points += len(positions)
        distance = positions.norm(dim=-1)
        if self.softness:
            density = self.inner * torch.sigmoid((self.radius - distance) / self.softness)
        else:
            density = torch.where(distance < self.radius, self.inner, 0.0)
        return FieldOutput(density.to(positions.dtype), positions.clone())

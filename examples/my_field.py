"""A field of your own: a dense grid of densities and latents, read by trilinear interpolation.

python launch.py --config examples/my_field.yaml --prompt "a red mushroom"
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import require
from core.kinds import DensityField
from core.memory import require_memory
from core.types import FieldOutput


class VoxelField(DensityField, name="voxels"):
    """A dense grid: the simplest radiance field there is."""

    @dataclass(frozen=True)
    class Config:
        """Settings of this field; `python launch.py --describe voxels --plugin examples/my_field.py` shows them."""

        resolution: int = 32
        """Cells along each edge of the scene box."""
        bound: float = 0.6
        """Radius of the ball outside of which there is nothing, in world units."""
        learning_rate: float = 0.05
        """Of every value in the grid."""

        def __post_init__(self) -> None:
            require(self.resolution >= 2, f"resolution: at least 2, got {self.resolution}")
            # Density and four latents, each trained number with its gradient and Adam's two.
            require_memory("resolution", self.resolution, 5 * 16 * self.resolution**3)

    def __init__(self, config: Config, n_channels: int) -> None:
        super().__init__()
        self.config, self.bound, self.n_channels = config, config.bound, n_channels
        line = torch.linspace(-config.bound, config.bound, config.resolution)
        z, y, x = torch.meshgrid(line, line, line, indexing="ij")  # the order in which grid_sample reads
        blob = 10 * torch.exp(-(x**2 + y**2 + z**2) / (2 * (config.bound / 2) ** 2)) - 5
        latents = 0.1 * torch.randn(n_channels, *blob.shape)
        self.grid = nn.Parameter(torch.cat([blob[None], latents])[None])

    def forward(self, positions: Float[Tensor, "points 3"]) -> FieldOutput:
        """Density and latents at points in world space."""
        cells = (positions / self.bound)[None, None, None]
        log_density, *latents = F.grid_sample(self.grid, cells, align_corners=True)[0, :, 0, 0]
        inside = positions.norm(dim=-1) < self.bound
        return FieldOutput(log_density.clamp(max=8).exp() * inside, torch.stack(latents, dim=-1))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Everything learns at one rate."""
        return [{"params": [self.grid], "lr": self.config.learning_rate}]

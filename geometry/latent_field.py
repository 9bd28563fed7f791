"""`hash-grid`: a density and C latent channels at every point, from a hash grid and a small MLP.

The latents have no activation, since a diffusion model's latents have no bounds, and do not depend on the view: an
object shows the same colours from everywhere.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.1.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.errors import require
from core.kinds import DensityField
from core.memory import SAMPLE, require_memory
from core.types import FieldOutput
from geometry.hash_grid_backends import HASH_GRIDS
from geometry.hash_levels import HashGridShape, level_layout

# exp(15) is opaque over a millionth of the scene: beyond it a density means nothing more, and its gradient would
# overflow.
LARGEST_EXPONENT = 15.0


class _TruncExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        value = x.clamp(max=LARGEST_EXPONENT).exp()
        ctx.save_for_backward(value)
        return value

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> Tensor:
        (value,) = ctx.saved_tensors
        return grad_outputs[0] * value


def trunc_exp(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """exp(x) up to x = 15 and constant beyond, with the gradient exp(min(x, 15)).

    Source: Instant-NGP's code, which does not cap the value.
    """
    return _TruncExp.apply(x)


def density_blob(
    positions: Float[Tensor, "points 3"], height: Float[Tensor, ""], radius: float
) -> Float[Tensor, "points"]:
    """What is added to the density's exponent so that training starts with a ball: height x exp(-|x|^2 / (2 radius^2)).

    Source: DreamFusion (arXiv:2209.14988), appendix A.2, and Latent-NeRF's code, with an exponent below 0 far from
    the ball.
    """
    return height * torch.exp(-positions.square().sum(dim=-1) / (2 * radius**2))


class HashGridField(DensityField, name="hash-grid"):
    """A multi-resolution hash grid and a small MLP give density and latents; no view dependence."""

    # The height of its first ball comes with its tensors.
    free_settings = (*DensityField.free_settings, "blob_height")

    @dataclass(frozen=True)
    class Config:
        """Settings of the hash-grid field."""

        n_levels: int = 8
        """Grids of the pyramid."""
        base_resolution: int = 8
        """Vertices along each axis of the coarsest grid."""
        finest_resolution: int = 64
        """Vertices along each axis of the finest grid."""
        log2_table_size: int = 15
        """No level has more than 2 to this power entries."""
        n_features: int = 2
        """Features that a level gives: 2, 4 or 8."""
        n_hidden_layers: int = 1
        """Hidden layers of the MLP."""
        hidden_width: int = 32
        """Neurons of a hidden layer."""
        bound: float = 0.7
        """Radius of the ball outside of which there is nothing, in world units."""
        blob_height: float = 10.0
        """Added to the density's exponent at the ball's centre, where density starts near
        exp(blob_height + density_offset)."""
        blob_radius: float = 0.3
        """Width of that ball, in world units: about 0.6 of the object's radius."""
        density_offset: float = -5.0
        """Added to the exponent everywhere; far from the centre density starts near exp(density_offset), almost
        empty."""
        grid_learning_rate: float = 1e-2
        """Adam's rate for the tables."""
        mlp_learning_rate: float = 1e-3
        """Adam's rate for the MLP."""
        backend: Literal["auto", "torch", "triton", "tcnn"] = "torch"
        """`torch` runs anywhere, `triton` and `tcnn` (tiny-cuda-nn) on NVIDIA cards alone; `auto` takes the fastest."""

        def __post_init__(self) -> None:
            require(1 <= self.n_levels <= 32, f"n_levels: from 1 to 32, got {self.n_levels}")
            require(self.base_resolution >= 2, f"base_resolution: at least 2, got {self.base_resolution}")
            require(
                self.base_resolution <= self.finest_resolution <= 2**16,
                f"finest_resolution: from base_resolution ({self.base_resolution}) to 65536, "
                f"got {self.finest_resolution}",
            )
            require(3 <= self.log2_table_size <= 24, f"log2_table_size: from 3 to 24, got {self.log2_table_size}")
            require(self.n_features in (2, 4, 8), f"n_features: 2, 4 or 8, got {self.n_features}")
            require(0 <= self.n_hidden_layers <= 64, f"n_hidden_layers: from 0 to 64, got {self.n_hidden_layers}")
            width, table = self.hidden_width, 2**self.log2_table_size * self.n_levels * self.n_features
            # Each trained number is kept with its gradient and Adam's two; a layer sees a thousand samples at least.
            require_memory("hidden_width", width, 16 * max(1, self.n_hidden_layers) * width**2 + 1024 * SAMPLE * width)
            require_memory("log2_table_size", self.log2_table_size, 16 * table)
            for name in ("hidden_width", "bound", "blob_radius", "grid_learning_rate", "mlp_learning_rate"):
                require(getattr(self, name) > 0, f"{name}: above 0, got {getattr(self, name)}")

        @property
        def grid_shape(self) -> HashGridShape:
            """The hash grid's own settings."""
            return HashGridShape(
                self.n_levels, self.base_resolution, self.finest_resolution, self.log2_table_size, self.n_features
            )

        @property
        def n_numbers(self) -> int:
            """Numbers that are trained, those of the small networks left out."""
            return sum(level.n_entries for level in level_layout(self.grid_shape)) * self.n_features

    blob_height: Tensor
    """Kept with the checkpoint: a second stage need not say it again."""

    def __init__(self, config: Config, n_channels: int) -> None:
        super().__init__()
        self.config = config
        self.bound = config.bound
        self.n_channels = n_channels
        self.register_buffer("blob_height", torch.tensor(config.blob_height))
        self.grid = HASH_GRIDS.choose(config.backend)(config.grid_shape)
        self.mlp = _mlp(config, 1 + n_channels)

    def forward(self, positions: Float[Tensor, "points 3"]) -> FieldOutput:
        """density = trunc_exp(h_0 + blob(x) + offset), and 0 outside of the ball; the features are h_1 ... h_C."""
        config = self.config
        # Points outside of the ball hold nothing, but the grid's tables end there.
        encoded = self.grid((positions / (2 * config.bound) + 0.5).clamp(0, 1))
        # The exponent is taken in the positions' precision: under mixed precision the MLP answers in half.
        hidden = self.mlp(encoded).to(positions.dtype)
        blob = density_blob(positions, self.blob_height, config.blob_radius)
        density = trunc_exp(hidden[:, 0] + blob + config.density_offset)
        inside = positions.square().sum(dim=-1) <= config.bound**2
        return FieldOutput(density * inside, hidden[:, 1:])

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The tables learn faster than the MLP: an entry is seen only when a sample falls next to it."""
        return [
            {"params": list(self.grid.parameters()), "lr": self.config.grid_learning_rate},
            {"params": list(self.mlp.parameters()), "lr": self.config.mlp_learning_rate},
        ]


def _mlp(config: HashGridField.Config, n_outputs: int) -> nn.Sequential:
    """Linear layers with ReLU between them; biases start at 0 so that the blob alone shapes the first density."""
    widths = [config.n_levels * config.n_features, *[config.hidden_width] * config.n_hidden_layers, n_outputs]
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        linear = nn.Linear(n_in, n_out)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])

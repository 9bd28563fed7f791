"""The hash encoding as two Triton kernels: the same numbers as the torch definition, all levels in one launch.

Triton comes with every CUDA build of torch and compiles the kernels when they are first used: a fast grid without a
CUDA toolkit or a compiler.
"""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from geometry.hash_grid_flat import FlatHashGrid
from geometry.hash_levels import HashGridShape, level_layout

# Points of one program. On an H100 64 takes a third more for 2^16 points, 512 a fifth.
BLOCK = 128


class TritonEncoding(nn.Module):
    """Features from a flat vector of tables (FlatHashGrid has its layout), computed in float32."""

    scales: Tensor
    integers: Tensor

    def __init__(self, shape: HashGridShape) -> None:
        """First tables are drawn as the torch definition's."""
        super().__init__()
        self.n_features = shape.n_features
        levels = level_layout(shape)
        sizes = [level.n_entries for level in levels]
        starts = [sum(sizes[:index]) for index in range(len(sizes))]
        rows = [
            (level.resolution, level.n_entries, start, int(level.is_dense))
            for level, start in zip(levels, starts, strict=True)
        ]
        self.register_buffer("scales", torch.tensor([level.scale for level in levels]), persistent=False)
        self.register_buffer("integers", torch.tensor(rows, dtype=torch.int32), persistent=False)
        self.params = nn.Parameter(torch.empty(sum(sizes) * shape.n_features).uniform_(-1e-4, 1e-4))

    def forward(self, positions: Float[Tensor, "points 3"]) -> Float[Tensor, "points channels"]:
        """Features at positions in [0, 1]^3."""
        positions = positions.float().contiguous()
        return _Encode.apply(positions, self.params, self.scales, self.integers, self.n_features)


def kernels() -> Any:
    """The compiled part, which only a machine with Triton can import."""
    from geometry.kernels import hash_grid

    return hash_grid


def triton_hash_grid(shape: HashGridShape) -> FlatHashGrid:
    """The grid on Triton."""
    return FlatHashGrid(shape, TritonEncoding(shape), on_gpu_only=True)


class _Encode(torch.autograd.Function):
    """The encoding with the gradients of its tables and, where they are asked for, of its positions."""

    @staticmethod
    def forward(ctx, positions: Tensor, flat: Tensor, scales: Tensor, integers: Tensor, n_features: int) -> Tensor:
        ctx.save_for_backward(positions, flat, scales, integers)
        ctx.n_features = n_features
        out = positions.new_empty(len(positions), len(scales) * n_features)
        if len(positions):
            sizes: dict[str, Any] = {"n_levels": len(scales), "n_features": n_features, "block": BLOCK}
            kernels().gather[_programs(positions, scales)](
                positions, flat, scales, integers, out, len(positions), **sizes
            )
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        """Of tables always; of positions, which few losses ask for, only where somebody does."""
        positions, flat, scales, integers = ctx.saved_tensors
        for_positions = ctx.needs_input_grad[0]
        grad_flat, grad_positions = torch.zeros_like(flat), torch.zeros_like(positions) if for_positions else None
        if len(positions):
            sizes: dict[str, Any] = {"n_levels": len(scales), "n_features": ctx.n_features, "block": BLOCK}
            pull = grad_outputs[0].float().contiguous()
            written = positions if grad_positions is None else grad_positions  # nothing is, without for_positions
            launch = kernels().scatter[_programs(positions, scales)]
            sizes["for_positions"] = for_positions
            launch(positions, flat, scales, integers, pull, grad_flat, written, len(positions), **sizes)
        return grad_positions, grad_flat, None, None, None


def _programs(positions: Tensor, scales: Tensor) -> tuple[int, int]:
    """The kernels' launch grid: blocks of points, and levels."""
    return math.ceil(len(positions) / BLOCK), len(scales)

"""The hash encoding as two Triton kernels: the same numbers as the torch definition, all levels in one launch.

Triton comes with every CUDA build of torch and compiles the kernels when they are first used: a fast grid without a
CUDA toolkit or a compiler.
"""

from typing import Any, no_type_check

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from geometry.hash_grid import HASH_Y, HASH_Z, HashGridShape, level_layout
from geometry.hash_grid_flat import FlatHashGrid

# Points of one program. On an H100 64 takes a third more for 2^16 points, 512 a fifth.
BLOCK = 128
FACTOR_Y, FACTOR_Z = tl.constexpr(HASH_Y), tl.constexpr(HASH_Z)


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


def triton_hash_grid(shape: HashGridShape) -> FlatHashGrid:
    """The grid on Triton."""
    return FlatHashGrid(shape, TritonEncoding(shape))


class _Encode(torch.autograd.Function):
    """The encoding with the gradients of its tables and, where they are asked for, of its positions."""

    @staticmethod
    def forward(ctx, positions: Tensor, flat: Tensor, scales: Tensor, integers: Tensor, n_features: int) -> Tensor:
        ctx.save_for_backward(positions, flat, scales, integers)
        ctx.n_features = n_features
        out = positions.new_empty(len(positions), len(scales) * n_features)
        if len(positions):
            sizes: dict[str, Any] = {"n_levels": len(scales), "n_features": n_features, "block": BLOCK}
            _gather[_programs(positions, scales)](positions, flat, scales, integers, out, len(positions), **sizes)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx, *grad_outputs: Tensor) -> tuple[Tensor | None, ...]:
        positions, flat, scales, integers = ctx.saved_tensors
        grad_flat, grad_positions = torch.zeros_like(flat), torch.zeros_like(positions)
        if len(positions):
            sizes: dict[str, Any] = {"n_levels": len(scales), "n_features": ctx.n_features, "block": BLOCK}
            _scatter[_programs(positions, scales)](
                positions,
                flat,
                scales,
                integers,
                grad_outputs[0].float().contiguous(),
                grad_flat,
                grad_positions,
                len(positions),
                for_positions=ctx.needs_input_grad[0],
                **sizes,
            )
        return grad_positions if ctx.needs_input_grad[0] else None, grad_flat, None, None, None


def _programs(positions: Tensor, scales: Tensor) -> tuple[int, int]:
    """Blocks of points, and levels."""
    return triton.cdiv(len(positions), BLOCK), len(scales)


@triton.jit
@no_type_check
def _cell(positions, point, here, scale):
    """The corner of each point's cell that is nearest to the origin, and how far into the cell the point lies."""
    x = tl.load(positions + 3 * point, mask=here, other=0.0) * scale + 0.5
    y = tl.load(positions + 3 * point + 1, mask=here, other=0.0) * scale + 0.5
    z = tl.load(positions + 3 * point + 2, mask=here, other=0.0) * scale + 0.5
    x0, y0, z0 = tl.floor(x), tl.floor(y), tl.floor(z)
    return x0.to(tl.int32), y0.to(tl.int32), z0.to(tl.int32), x - x0, y - y0, z - z0


@triton.jit
@no_type_check
def _first_value(x, y, z, integers, level, n_features: tl.constexpr):
    """Where the flat vector holds the vertex (x, y, z), as geometry/hash_grid.py's `corner_entries` finds it."""
    resolution, n_entries = tl.load(integers + 4 * level), tl.load(integers + 4 * level + 1)
    start, is_dense = tl.load(integers + 4 * level + 2), tl.load(integers + 4 * level + 3)
    dense = x + y * resolution + z * resolution * resolution
    dense = tl.where(dense >= n_entries, dense - n_entries, dense)
    hashed = (x ^ (y * FACTOR_Y) ^ (z * FACTOR_Z)) & (n_entries - 1)
    return (start.to(tl.int64) + tl.where(is_dense != 0, dense, hashed)) * n_features


@triton.jit
@no_type_check
def _gather(
    positions, flat, scales, integers, out, n_points,
    n_levels: tl.constexpr, n_features: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    level = tl.program_id(1)
    point = tl.program_id(0) * block + tl.arange(0, block)
    here = point < n_points
    feature = tl.arange(0, n_features)[None, :]
    x0, y0, z0, x, y, z = _cell(positions, point, here, tl.load(scales + level))
    total = tl.zeros((block, n_features), dtype=tl.float32)
    for corner in tl.static_range(8):
        i, j, k = corner & 1, (corner >> 1) & 1, corner >> 2
        place = _first_value(x0 + i, y0 + j, z0 + k, integers, level, n_features)[:, None] + feature
        weight = (x if i else 1 - x) * (y if j else 1 - y) * (z if k else 1 - z)
        total += weight[:, None] * tl.load(flat + place, mask=here[:, None], other=0.0)
    place = (point.to(tl.int64) * n_levels + level)[:, None] * n_features + feature
    tl.store(out + place, total, mask=here[:, None])


@triton.jit
@no_type_check
def _scatter(
    positions, flat, scales, integers, grad_out, grad_flat, grad_positions, n_points,
    for_positions: tl.constexpr, n_levels: tl.constexpr, n_features: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    level = tl.program_id(1)
    point = tl.program_id(0) * block + tl.arange(0, block)
    here = point < n_points
    feature = tl.arange(0, n_features)[None, :]
    scale = tl.load(scales + level)
    x0, y0, z0, x, y, z = _cell(positions, point, here, scale)
    place = (point.to(tl.int64) * n_levels + level)[:, None] * n_features + feature
    pull = tl.load(grad_out + place, mask=here[:, None], other=0.0)
    along_x = tl.zeros((block,), dtype=tl.float32)
    along_y = tl.zeros((block,), dtype=tl.float32)
    along_z = tl.zeros((block,), dtype=tl.float32)
    for corner in tl.static_range(8):
        i, j, k = corner & 1, (corner >> 1) & 1, corner >> 2
        place = _first_value(x0 + i, y0 + j, z0 + k, integers, level, n_features)[:, None] + feature
        share_x, share_y, share_z = x if i else 1 - x, y if j else 1 - y, z if k else 1 - z
        weight = share_x * share_y * share_z
        tl.atomic_add(grad_flat + place, weight[:, None] * pull, mask=here[:, None], sem="relaxed")
        if for_positions:
            value = tl.sum(tl.load(flat + place, mask=here[:, None], other=0.0) * pull, axis=1)
            along_x += (value if i else -value) * share_y * share_z
            along_y += (value if j else -value) * share_x * share_z
            along_z += (value if k else -value) * share_x * share_y
    if for_positions:
        tl.atomic_add(grad_positions + 3 * point, along_x * scale, mask=here, sem="relaxed")
        tl.atomic_add(grad_positions + 3 * point + 1, along_y * scale, mask=here, sem="relaxed")
        tl.atomic_add(grad_positions + 3 * point + 2, along_z * scale, mask=here, sem="relaxed")

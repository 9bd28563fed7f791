"""Multi-resolution hash encoding of positions; this torch code is the definition that other backends are held to.

`hash_levels.py` says what levels and tables are.

Source: Mueller et al., "Instant Neural Graphics Primitives" (arXiv:2201.05989), section 3.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from geometry.hash_levels import HASH_Y, HASH_Z, HashGridShape, Level, level_layout


def corner_entries(
    positions: Float[Tensor, "3 points"], level: Level
) -> tuple[Int[Tensor, "8 points"], Float[Tensor, "8 points"]]:
    """Table rows of the 8 vertices around each point, and their trilinear weights.

    Corners come first and points last, so that every operation runs over long contiguous rows: four times faster on a
    CPU than the other way around.

    Args:
        positions: in [0, 1], coordinates first.
        level: the level to look into.

    Returns:
        The rows, in [0, level.n_entries), and the weights, which add up to 1 for each point.
    """
    in_grid = positions * level.scale + 0.5
    corner = in_grid.floor()
    fraction = in_grid - corner
    x, y, z = corner.to(torch.int32)
    stride_y, stride_z = (level.resolution, level.resolution**2) if level.is_dense else (HASH_Y, HASH_Z)
    y, z = y * stride_y, z * stride_z
    xs = torch.stack([x, x + 1])[:, None, None]
    ys = torch.stack([y, y + stride_y])[:, None]
    zs = torch.stack([z, z + stride_z])
    if level.is_dense:
        rows = xs + (ys + zs)
        # The outermost vertices lie one beyond the grid and wrap once, where tiny-cuda-nn takes the slower remainder.
        rows = torch.where(rows >= level.n_entries, rows - level.n_entries, rows)
    else:
        rows = (xs ^ (ys ^ zs)) & (level.n_entries - 1)  # a hashed table's size is a power of two
    wx, wy, wz = torch.stack([1 - fraction, fraction], dim=1)
    weights = wx[:, None, None] * (wy[:, None] * wz)
    return rows.flatten(0, 2), weights.flatten(0, 2)


class _WeightedRows(torch.autograd.Function):
    """Sum over 8 corners of weight times table row, for a table of two columns.

    Two float columns are moved as one complex number: half as many gathers, and `index_add_` of a plain vector
    instead of row by row. With plain autograd the same step takes twice as long (measured on two CPU cores).
    """

    @staticmethod
    def forward(ctx, table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        ctx.save_for_backward(table, rows, weights)
        picked = torch.view_as_complex(table).index_select(0, rows.flatten()).view_as(rows)
        return torch.view_as_real((picked * weights).sum(dim=0))

    @staticmethod
    def backward(ctx, *grad_outputs: Tensor) -> tuple[Tensor | None, None, Tensor | None]:
        (grad,) = grad_outputs
        table, rows, weights = ctx.saved_tensors
        grad_table = grad_weights = None
        if ctx.needs_input_grad[0]:
            shares = (weights * torch.view_as_complex(grad.contiguous())).flatten()
            summed = shares.new_zeros(len(table)).index_add(0, rows.flatten(), shares)
            grad_table = torch.view_as_real(summed)
        if ctx.needs_input_grad[2]:
            picked = table.index_select(0, rows.flatten()).view(*rows.shape, 2)
            grad_weights = (picked * grad).sum(dim=-1)
        return grad_table, None, grad_weights


def interpolate(
    table: Float[Tensor, "entries features"],
    rows: Int[Tensor, "8 points"],
    weights: Float[Tensor, "8 points"],
) -> Float[Tensor, "points features"]:
    """Features of each point: the weighted sum of its 8 table rows. Differentiable, twice, in table and weights.

    Args:
        table: an even number of features.
        rows, weights: from `corner_entries`.
    """
    pairs = table.split(2, dim=1)
    return torch.cat([_WeightedRows.apply(pair.contiguous(), rows, weights) for pair in pairs], dim=1)


def encode(
    tables: Sequence[Float[Tensor, "_ features"]], levels: Sequence[Level], positions: Float[Tensor, "points 3"]
) -> Float[Tensor, "points channels"]:
    """Features of all levels, coarse to fine, side by side, at positions in [0, 1]^3: the definition."""
    columns = positions.t().contiguous()
    pairs = zip(tables, levels, strict=True)
    return torch.cat([interpolate(table, *corner_entries(columns, level)) for table, level in pairs], dim=1)


class HashGrid(nn.Module):
    """The encoding: features of all levels, coarse to fine, side by side."""

    def __init__(self, shape: HashGridShape) -> None:
        """First tables uniform in [-1e-4, 1e-4] (arXiv:2201.05989, section 4), drawn as `nn.Linear` draws its own."""
        super().__init__()
        self.levels = level_layout(shape)
        self.n_channels = shape.n_levels * shape.n_features
        self.tables = nn.ParameterList(
            nn.Parameter(torch.empty(level.n_entries, shape.n_features).uniform_(-1e-4, 1e-4)) for level in self.levels
        )

    def forward(self, positions: Float[Tensor, "points 3"]) -> Float[Tensor, "points channels"]:
        """Features at positions in [0, 1]^3; `channels` = levels x features."""
        return encode(list(self.tables), self.levels, positions)

"""Multi-resolution hash encoding of positions; this torch code is the definition that other backends are held to.

Words used here:
    level    one grid of the pyramid; each is finer than the one before.
    table    the trainable entries of a level, one parameter per level.
    dense    a level whose vertices all fit into its table; coarse levels are.
    hashed   a level whose vertices share entries, found by a spatial hash.

The layout of levels and tables is that of tiny-cuda-nn, number for number, so that a table trained here can be read
there.

Source: Mueller et al., "Instant Neural Graphics Primitives" (arXiv:2201.05989), section 3, and tiny-cuda-nn's `grid.h`.
"""

import importlib.util
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.backends import Backend, Backends

# Factors of the spatial hash (arXiv:2201.05989, eq. 4; x has the factor 1). The first is 2654435761 written as the
# signed 32-bit number with the same bits: products then wrap as they do in uint32, and int32 is the fastest integer
# on a CPU.
HASH_Y = 2654435761 - 2**32
HASH_Z = 805459861


@dataclass(frozen=True)
class Level:
    """One level of the pyramid.

    Attributes:
        scale: grid cells per unit of position; a position x in [0, 1] lies at x * scale + 0.5 in the grid.
        resolution: vertices along each axis.
        n_entries: rows of the table.
    """

    scale: float
    resolution: int
    n_entries: int

    @property
    def is_dense(self) -> bool:
        """Whether each vertex has an entry of its own."""
        return self.resolution**3 <= self.n_entries


@dataclass(frozen=True)
class HashGridShape:
    """What a hash grid is made of; equal shapes can exchange their tables, whatever backend trained them.

    Attributes:
        n_levels: how many grids.
        base_resolution: vertices along an axis of the coarsest grid.
        finest_resolution: the same of the finest grid.
        log2_table_size: no table has more than 2 to this power entries.
        n_features: columns of each table, an even number.
    """

    n_levels: int
    base_resolution: int
    finest_resolution: int
    log2_table_size: int
    n_features: int

    @property
    def growth(self) -> float:
        """Ratio b between the resolutions of neighbouring levels (arXiv:2201.05989, eq. 3)."""
        if self.n_levels == 1:
            return 1.0
        return math.exp(math.log(self.finest_resolution / self.base_resolution) / (self.n_levels - 1))


def level_layout(shape: HashGridShape) -> tuple[Level, ...]:
    """The levels from coarse to fine: scale = base * 2^(l log2 b) - 1, resolution = ceil(scale) + 1.

    Every step is rounded to float32 as tiny-cuda-nn's C does: a last bit decides on which side of an integer `ceil`
    sees the scale. The logarithm and the power themselves are taken in float64, so that the layout is the same on
    every machine.
    """
    log2_growth = np.float32(math.log2(np.float32(shape.growth)))
    levels = []
    for index in range(shape.n_levels):
        exponent = float(np.float32(index) * log2_growth)
        scale = np.float32(2.0**exponent) * np.float32(shape.base_resolution) - np.float32(1)
        resolution = math.ceil(scale) + 1
        n_entries = min(8 * math.ceil(resolution**3 / 8), 2**shape.log2_table_size)
        levels.append(Level(float(scale), resolution, n_entries))
    return tuple(levels)


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
        rows: from `corner_entries`.
        weights: likewise.
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


def _missing(package: str, how: str) -> str | None:
    """Why a backend for NVIDIA cards cannot run here; `how` says where its package comes from."""
    if importlib.util.find_spec(package) is None:
        return f"{package} is not installed ({how})"
    return None if torch.cuda.is_available() else "no CUDA device is visible"


def _load_tcnn() -> Callable[[HashGridShape], nn.Module]:
    from geometry.hash_grid_tcnn import tcnn_hash_grid

    return tcnn_hash_grid


def _load_triton() -> Callable[[HashGridShape], nn.Module]:
    from geometry.hash_grid_triton import triton_hash_grid

    return triton_hash_grid


HASH_GRIDS: Backends[Callable[[HashGridShape], nn.Module]] = Backends(
    "hash grid",
    (
        Backend("tcnn", _load_tcnn, lambda: _missing("tinycudann", "requirements-gpu.txt says how")),
        Backend("triton", _load_triton, lambda: _missing("triton", "it comes with CUDA builds of torch")),
        Backend("torch", lambda: HashGrid, lambda: None),
    ),
)
"""Makers of hash grids; each grid has the `n_channels` and `forward` of HashGrid, and saves the same tables."""

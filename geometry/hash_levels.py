"""How a hash grid's levels and tables are laid out, number for number as tiny-cuda-nn has them.

Words used here:
    level    one grid of the pyramid; each is finer than the one before.
    table    the trainable entries of a level.
    dense    a level whose vertices all fit into its table; coarse levels are.
    hashed   a level whose vertices share entries, found by a spatial hash.

A table trained by one backend can therefore be read by every other.

Source: Mueller et al., "Instant Neural Graphics Primitives" (arXiv:2201.05989), section 3, and tiny-cuda-nn's `grid.h`.
"""

import math
from dataclasses import dataclass

import numpy as np

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
        is_dense: whether each vertex has an entry of its own.
    """

    scale: float
    resolution: int
    n_entries: int
    is_dense: bool


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
        levels.append(Level(float(scale), resolution, n_entries, resolution**3 <= n_entries))
    return tuple(levels)

"""The hash encoding, forwards and backwards: one program per block of points and level.

Source: Mueller et al., Instant-NGP (arXiv:2201.05989), section 3; geometry/hash_grid.py is the definition.
"""

from typing import no_type_check

import triton  # pyright: ignore[reportMissingImports] - comes with CUDA builds of torch
import triton.language as tl  # pyright: ignore[reportMissingImports]

from geometry.hash_levels import HASH_Y, HASH_Z

FACTOR_Y, FACTOR_Z = tl.constexpr(HASH_Y), tl.constexpr(HASH_Z)


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
def gather(
    positions, flat, scales, integers, out, n_points,
    n_levels: tl.constexpr, n_features: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """Features of a block of points at one level, written to `out` (points x levels x features)."""
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
def scatter(
    positions, flat, scales, integers, grad_out, grad_flat, grad_positions, n_points,
    for_positions: tl.constexpr, n_levels: tl.constexpr, n_features: tl.constexpr, block: tl.constexpr,
):  # fmt: skip
    """The way back: gradients of the tables, and of the positions where they are asked for, added to what is there."""
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

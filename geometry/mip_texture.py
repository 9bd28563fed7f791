"""A texture looked up without aliasing: bilinear within a level of its mip pyramid, linear between two levels.

Row 0 of a texture is its top, v = 1. It repeats beyond [0, 1], as OBJ and glTF have it.

Source: Williams, Pyramidal Parametrics (SIGGRAPH 1983).
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def mip_levels(texture: Float[Tensor, "size size channels"]) -> list[Float[Tensor, "rows rows channels"]]:
    """The texture and its halves, quarters ... down to one texel, each the mean of four texels of the one before.

    Args:
        texture: square, its side a power of 2.
    """
    levels = [texture]
    while levels[-1].shape[0] > 1:
        finer = levels[-1].movedim(-1, 0)[None]
        levels.append(F.avg_pool2d(finer, kernel_size=2)[0].movedim(0, -1))
    return levels


def sample_mip(
    texture: Float[Tensor, "size size channels"], uv: Float[Tensor, "points 2"], footprint: Float[Tensor, "points"]
) -> Float[Tensor, "points channels"]:
    """Values at UV coordinates, averaged over squares of about the footprint's side.

    Args:
        footprint: in UV units; below one texel the finest level is interpolated.
    """
    levels = mip_levels(texture)
    size = texture.shape[0]
    wanted = (footprint * size).clamp(1, size).log2()
    lower = wanted.floor().long().clamp(0, len(levels) - 1)
    upper = (lower + 1).clamp(max=len(levels) - 1)
    share = wanted - lower
    index, weight = zip(_taps(uv, lower, size, 1 - share), _taps(uv, upper, size, share), strict=True)
    table = torch.cat([level.reshape(-1, level.shape[-1]) for level in levels])
    return F.embedding_bag(torch.cat(index, dim=1), table, per_sample_weights=torch.cat(weight, dim=1), mode="sum")


def _taps(
    uv: Float[Tensor, "points 2"], level: Int[Tensor, "points"], size: int, share: Float[Tensor, "points"]
) -> tuple[Int[Tensor, "points 4"], Float[Tensor, "points 4"]]:
    """The four texels around each point in its level, as rows of the pyramid laid end to end, and their weights."""
    side = size >> level
    # Levels of sides s, s/2, s/4 ... begin after s^2 + (s/2)^2 + ... = (4/3) (s^2 - side^2) texels.
    begin = 4 * (size * size - side * side) // 3
    x, y = uv[:, 0] * side - 0.5, (1 - uv[:, 1]) * side - 0.5
    left, top = x.floor(), y.floor()
    right_share, lower_share = x - left, y - top
    columns = torch.stack([left, left + 1], dim=-1).long() % side[:, None]
    rows = torch.stack([top, top + 1], dim=-1).long() % side[:, None]
    index = begin[:, None, None] + rows[:, :, None] * side[:, None, None] + columns[:, None, :]
    across = torch.stack([1 - right_share, right_share], dim=-1)
    down = torch.stack([1 - lower_share, lower_share], dim=-1)
    weight = share[:, None, None] * down[:, :, None] * across[:, None, :]
    return index.flatten(1), weight.flatten(1).to(uv.dtype)

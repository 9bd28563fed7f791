"""From densities along rays to pictures: ray weights, their sums, and what is behind them.

Words used here:
    optical depth   density x width, summed along a ray; light that remains behind it is exp(-optical depth).
    dense           one row per ray, one column per sample; empty places hold density 0.
    packed          only the samples that exist, ray after ray, with each sample's ray beside it.

Source: Mildenhall et al., NeRF (arXiv:2003.08934), section 4 and eq. 3.
"""

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from core.kinds import Background


def ray_weights(
    optical_depth: Float[Tensor, "rays samples"], before: Float[Tensor, "rays 1"] | None = None
) -> Float[Tensor, "rays samples"]:
    """Share of a ray's light that each sample gives: w_i = T_i (1 - exp(-tau_i)), T_i = exp(-sum of tau in front).

    Args:
        optical_depth: tau = density x width of each sample, from the camera outward, at least 0.
        before: optical depth already passed in front of the first sample; none: 0.

    Source: NeRF (arXiv:2003.08934), eq. 3.
    """
    behind = optical_depth.cumsum(dim=-1)
    if before is not None:
        behind = behind + before
    # 1 - exp(-tau) by expm1: a thin sample's weight would otherwise drown in the rounding of numbers near 1.
    return torch.exp(optical_depth - behind) * -torch.expm1(-optical_depth)


def sum_over_rays(
    values: Float[Tensor, "samples channels"],
    ray_index: Int[Tensor, "samples"],
    n_rays: int,
) -> Float[Tensor, "{n_rays} channels"]:
    """Sum of the packed samples' values for each ray; 0 for a ray without samples."""
    return values.new_zeros(n_rays, values.shape[1]).index_add(0, ray_index, values)


def seen_behind(
    background: Background,
    directions: Float[Tensor, "views height width 3"],
    rng: Generator,
    foreground: Float[Tensor, "views height width channels"],
) -> Float[Tensor, "views height width channels"]:
    """What a background shows behind a foreground.

    Raises:
        UserError: it gave something else than a picture of the foreground's shape.
    """
    seen = background(directions, rng)
    if not isinstance(seen, Tensor) or seen.shape != foreground.shape:
        raise background.wrong_result(seen, f"forward: one of shape {tuple(foreground.shape)}")
    return seen


def over_background(
    foreground: Float[Tensor, "*picture channels"],
    opacity: Float[Tensor, "*picture"],
    background: Float[Tensor, "*picture channels"],
) -> Float[Tensor, "*picture channels"]:
    """Picture of an object in front of a background: the background shines through what the object leaves open.

    Args:
        foreground: sum of w_i c_i, premultiplied by the opacity.
        opacity: sum of w_i, in [0, 1].
        background: what a ray sees that meets nothing.
    """
    return foreground + (1 - opacity)[..., None] * background

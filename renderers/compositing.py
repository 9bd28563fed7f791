"""From densities along rays to pictures: ray weights and their sums, as pure functions.

Words used here:
    optical depth   density x width, summed along a ray; light that remains behind it is exp(-optical depth).
    dense           one row per ray, one column per sample; empty places hold density 0.
    packed          only the samples that exist, ray after ray, with each sample's ray beside it.

Source: Mildenhall et al., NeRF (arXiv:2003.08934), section 4 and eq. 3.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor


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

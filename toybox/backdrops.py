"""The denoiser's target, averaged over the backgrounds that a noisy picture may have had.

In strong noise most of the error that is left comes from the background, which is drawn at random: it hides the little
that a caption changes. The picture's other backgrounds are known, and so is how likely each is after the noise; the
mean over them has the same expectation as the picture itself and far less spread (Rao and Blackwell), so that the
denoiser learns the same from fewer pictures.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from toybox.data import Batch
from toybox.latents import AutoencoderKL, encode
from toybox.networks import DOWNSCALE
from toybox.world import load_world


class Backdrops:
    """The world's flat backgrounds as latents, for pictures of one size.

    Args:
        size: side of the pictures in pixels.
    """

    def __init__(self, vae: AutoencoderKL, size: int) -> None:
        self._palette = torch.tensor(list(load_world().backgrounds.values()), device=vae.device)
        with torch.no_grad():
            self._flat = encode(vae, self._palette[:, :, None, None].expand(-1, -1, size, size).contiguous()).float()

    def shifts(self, batch: Batch) -> Tensor:
        """What each other background would add to the latents, [batch, backgrounds, 4, size, size] of latent cells.

        Latents are taken to mix by coverage as pictures do, which is what the autoencoder is trained for.
        """
        own = (batch.backgrounds[:, None] - self._palette).square().sum(dim=-1).argmin(dim=1)
        return self.shifts_of(1 - F.avg_pool2d(batch.coverage, DOWNSCALE), own)

    def shifts_of(self, bare: Tensor, own: Tensor) -> Tensor:
        """As `shifts`, from the uncovered share of each latent cell, [batch, 1, size, size], and the own background.

        Args:
            own: the place of each picture's own background in the world's, [batch].
        """
        return bare[:, None] * (self._flat - self._flat[own][:, None])


def expected_shift(shifts: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """The mean of E[z' | z_t] - z over pictures z' = z + shift that were equally likely before the noise.

    The probability of each is its likelihood exp(-|z_t - alpha z'|^2 / (2 sigma^2)), with z_t = alpha z + sigma noise.

    Args:
        shifts: [batch, pictures, ...], zero for the true one.
        noise: [batch, ...].
        alpha, sigma: of each noisy picture, [batch].

    Returns:
        [batch, ...].
    """
    ratio = (alpha / sigma)[:, None]
    flat = shifts.flatten(2)
    agreement = (flat * noise.flatten(1)[:, None]).sum(dim=2)  # not a matrix product, which autocast would round
    likelihood = ratio * agreement - ratio.square() / 2 * flat.square().sum(dim=2)
    weights = likelihood.softmax(dim=1)
    return (weights[..., None] * flat).sum(dim=1).view_as(noise)

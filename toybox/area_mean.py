"""A starting point for small autoencoders: before any training, latents are the cells' mean colours and one slope.

From random weights a network this deep finds one colour axis after another, each after hundreds of steps (measured:
1,800 steps without telling green from purple). Here a linear path runs through all layers from the start:

- channels 1..2k of every map carry the k signals and their negatives; the residual branches add nothing to them at
  first, and silu(x) - silu(-x) = x takes them exactly through the last activation;
- channel 0 is a constant much larger than the rest. A GroupNorm of one group divides by the picture's own contrast,
  which would hide how bright a flat colour is; the constant makes mean and deviation nearly the same for every picture.

The fourth latent starts as the vertical slope of brightness inside the cell (the next linear component of small
patches); left at random it was found useless and died (measured: deviation 0.007 of the others' 0.5).

All of it stays trainable. `area_means` computes the same latents from pictures, for a loss that keeps them near.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toybox.latents import AutoencoderKL

LAST_HALVING = "down_blocks.1.downsamplers.0.conv"  # of an encoder that halves twice
LEVEL = 6.0  # of the constant channel
SLOPE = 4.0  # gain of the slope: makes its deviation like that of the colours
QUIET = -8.0  # the log variance that latents start with


@torch.no_grad()
def start_as_area_mean(vae: AutoencoderKL) -> None:
    """Sets the weights of an AutoencoderKL of one norm group, without attention, to encode and decode mean colours."""
    flat = torch.rand(16, 3, 1, 1) * 2 - 1
    pictures = (flat + 0.3 * torch.randn(16, 3, 64, 64)).clamp(-1, 1)
    _lay_path(vae.encoder, 4, pictures)
    vae.encoder.conv_out.weight[vae.config.latent_channels :] = 0
    vae.encoder.conv_out.bias[vae.config.latent_channels :] = QUIET
    for conv in (vae.quant_conv, vae.post_quant_conv):
        nn.init.dirac_(conv.weight)
        nn.init.zeros_(conv.bias)
    _lay_path(vae.decoder, vae.config.latent_channels, vae.encode(pictures).latent_dist.mean)


def area_means(pictures: Tensor, cell: int) -> Tensor:
    """Mean RGB and brightness slope of each cell: [batch, 3, height, width] to [batch, 4, height / cell, width / cell].

    The slope is the upper half's mean brightness less the lower half's, times SLOPE.
    """
    mean = F.avg_pool2d(pictures, cell)
    halves = F.avg_pool2d(pictures.mean(dim=1, keepdim=True), (cell // 2, cell))
    return torch.cat([mean, SLOPE * (halves[:, :, ::2] - halves[:, :, 1::2])], dim=1)


def _lay_path(network: Any, signals: int, example: Tensor) -> None:
    path = slice(1, 1 + 2 * signals)
    convolutions: list[tuple[str, Any]] = [(n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d)]
    for name, conv in convolutions:
        if name.endswith("conv_out"):
            continue
        if not name.endswith("conv2"):  # the residual branch's last convolution adds nothing to the constant
            conv.weight[0], conv.bias[0] = 0, LEVEL
        if name.endswith("conv1"):
            continue
        rows = torch.zeros_like(conv.weight[path])
        taps = slice(0, 2) if conv.stride[0] == 2 else slice(conv.kernel_size[0] // 2, conv.kernel_size[0] // 2 + 1)
        for row in range(0 if name.endswith("conv2") else 2 * signals):
            source, sign = (row % signals, 1 if row < signals else -1) if name == "conv_in" else (1 + row, 1)
            if source < conv.in_channels:  # a picture has no fourth channel: that path is empty until the slope
                rows[row, source, taps, taps] = sign / (taps.stop - taps.start) ** 2
        conv.weight[path], conv.bias[path] = rows, 0
        if name == LAST_HALVING:
            _read_slope(conv)
        if name.endswith("conv2"):
            conv.weight[0], conv.bias[0] = 0, 0
    out, centre = network.conv_out, network.conv_out.kernel_size[0] // 2
    out.weight[:, path], out.bias[:] = 0, 0
    out.weight[:, 0] = 0
    for output in range(min(signals, out.out_channels)):
        out.weight[output, 1 + 2 * signals :] *= 0.1
        out.weight[output, 1 + output, centre, centre] = 1
        out.weight[output, 1 + signals + output, centre, centre] = -1
    _calibrate(network, example)


def _read_slope(conv: Any) -> None:
    """The encoder's last halving sees two rows of a cell: their difference in brightness, and its negative."""
    for row, sign in ((4, 1), (8, -1)):
        conv.weight[row] = 0
        for colour in (1, 2, 3):
            conv.weight[row, colour, 0, :2] = sign * SLOPE / 6
            conv.weight[row, colour, 1, :2] = -sign * SLOPE / 6


def _calibrate(network: Any, example: Tensor) -> None:
    """Sets each norm to give the example's channels mean 0 and deviation 1; the last norm changes nothing."""

    def set_norm(norm: nn.GroupNorm, inputs: tuple[Tensor]) -> None:
        normed = nn.functional.group_norm(inputs[0], norm.num_groups)[:, 1:]
        kept = norm is network.conv_norm_out
        deviation = inputs[0][:, 1:].std() if kept else 1
        mean = inputs[0][:, 1:].mean() if kept else 0
        norm.weight[:] = deviation / normed.std()
        norm.bias[:] = mean - normed.mean() * norm.weight[1]
        norm.weight[0] = norm.bias[0] = 0

    hooks = [m.register_forward_pre_hook(set_norm) for m in network.modules() if isinstance(m, nn.GroupNorm)]
    network(example)
    for hook in hooks:
        hook.remove()

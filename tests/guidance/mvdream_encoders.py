"""MVDream's autoencoder and text encoder (Stable Diffusion 2.1's) written out at a small size, with their names."""

import math
from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.guidance.mvdream_unet import CONTEXT, HEAD, norm


class Residual(nn.Module):
    def __init__(self, taken: int, given: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = norm(taken, 1e-6), norm(given, 1e-6)
        self.conv1, self.conv2 = nn.Conv2d(taken, given, 3, padding=1), nn.Conv2d(given, given, 3, padding=1)
        if taken != given:
            self.nin_shortcut = nn.Conv2d(taken, given, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.silu(self.norm2(self.conv1(F.silu(self.norm1(x))))))
        return y + (self.nin_shortcut(x) if hasattr(self, "nin_shortcut") else x)


class PictureAttention(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = norm(width, 1e-6)
        self.q, self.k, self.v, self.proj_out = (nn.Conv2d(width, width, 1) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(x)
        q, k, v = (layer(y).flatten(2) for layer in (self.q, self.k, self.v))
        score = (q.mT @ k / math.sqrt(q.shape[1])).softmax(dim=-1)
        return x + self.proj_out((v @ score.mT).unflatten(2, x.shape[2:]))


def _level(first: int, width: int, n_blocks: int, name: str | None) -> nn.ModuleDict:
    blocks = [Residual(first, width), *(Residual(width, width) for _ in range(n_blocks - 1))]
    level = nn.ModuleDict({"block": nn.ModuleList(blocks)})
    if name:
        padding = 0 if name == "downsample" else 1  # downward, LDM pads to the right and below alone
        conv = nn.Conv2d(width, width, 3, stride=2 - padding, padding=padding)
        level[name] = nn.ModuleDict({"conv": conv})
    return level


class Coder(nn.Module):
    """Encoder or decoder, two levels of 32 and 64 channels; a factor of 2 between pictures and latents."""

    def __init__(self, encodes: bool) -> None:
        super().__init__()
        self.mid = nn.ModuleDict(
            {"block_1": Residual(64, 64), "attn_1": PictureAttention(64), "block_2": Residual(64, 64)}
        )
        if encodes:
            self.conv_in = nn.Conv2d(3, 32, 3, padding=1)
            self.down = nn.ModuleList([_level(32, 32, 2, "downsample"), _level(32, 64, 2, None)])
            self.norm_out, self.conv_out = norm(64, 1e-6), nn.Conv2d(64, 8, 3, padding=1)
        else:
            self.conv_in = nn.Conv2d(4, 64, 3, padding=1)
            self.up = nn.ModuleList([_level(64, 32, 3, None), _level(64, 64, 3, "upsample")])
            self.norm_out, self.conv_out = norm(32, 1e-6), nn.Conv2d(32, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv_in(x)
        levels: Any = [*self.down] if hasattr(self, "down") else [self.mid, *reversed(list(self.up))]
        for level in [*levels, self.mid] if hasattr(self, "down") else levels:
            for layer in level.values() if level is self.mid else level["block"]:
                x = layer(x)
            if level is not self.mid and "downsample" in level:
                x = level["downsample"]["conv"](F.pad(x, (0, 1, 0, 1)))
            if level is not self.mid and "upsample" in level:
                x = level["upsample"]["conv"](F.interpolate(x, scale_factor=2, mode="nearest"))
        return self.conv_out(F.silu(self.norm_out(x)))


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Coder(True), Coder(False)
        self.quant_conv, self.post_quant_conv = nn.Conv2d(8, 8, 1), nn.Conv2d(4, 4, 1)

    def latents(self, rgb: Tensor) -> Tensor:
        """The mean of the encoder's distribution, not yet scaled; pictures in [-1, 1]."""
        return self.quant_conv(self.encoder(rgb))[:, :4]

    def picture(self, latents: Tensor) -> Tensor:
        """In [-1, 1], about."""
        return self.decoder(self.post_quant_conv(latents))


class TextBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(CONTEXT), nn.LayerNorm(CONTEXT)
        self.attn = nn.MultiheadAttention(CONTEXT, CONTEXT // HEAD, batch_first=True)
        layers = {"c_fc": nn.Linear(CONTEXT, 2 * CONTEXT), "gelu": nn.GELU(), "c_proj": nn.Linear(2 * CONTEXT, CONTEXT)}
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        n = x.shape[1]
        hidden = torch.full((n, n), -math.inf).triu(1)
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=hidden)[0]
        return x + self.mlp(self.ln_2(x))


class Text(nn.Module):
    """OpenCLIP's text encoder of three blocks, read after the last but one."""

    def __init__(self, n_tokens: int, length: int) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(n_tokens, CONTEXT)
        self.positional_embedding = nn.Parameter(torch.randn(length, CONTEXT) * 0.1)
        self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(TextBlock() for _ in range(3))})
        self.ln_final = nn.LayerNorm(CONTEXT)
        self.text_projection = nn.Parameter(torch.randn(CONTEXT, CONTEXT))
        self.logit_scale = nn.Parameter(torch.ones(()))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.token_embedding(tokens) + self.positional_embedding
        blocks: Any = self.transformer["resblocks"]
        for block in blocks[:-1]:
            x = block(x)
        return self.ln_final(x)

"""MVDream's denoiser written out at a small size, with the names of its checkpoint.

From its paper and the published structure of Stable Diffusion 2.1: a UNet with joined self-attention and an embedding
of the camera.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS, CONTEXT, HEAD = (64, 128), 128, 64


def norm(width: int, eps: float = 1e-5) -> nn.GroupNorm:
    return nn.GroupNorm(32, width, eps=eps)


class Attention(nn.Module):
    def __init__(self, width: int, context: int) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(n, width, bias=False) for n in (width, context, context))
        self.to_out = nn.Sequential(nn.Linear(width, width))

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (-1, HEAD)).movedim(2, 1)
            for part in (self.to_q(x), self.to_k(context), self.to_v(context))
        )
        score = (q @ k.mT / math.sqrt(HEAD)).softmax(dim=-1)
        return self.to_out((score @ v).movedim(1, 2).flatten(2))


class Block(nn.Module):
    """MVDream's transformer block: self-attention over the tokens of all views of an object."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2, self.norm3 = (nn.LayerNorm(width) for _ in range(3))
        self.attn1, self.attn2 = Attention(width, width), Attention(width, CONTEXT)
        self.ff = nn.ModuleDict({"net": nn.ModuleDict({"0": nn.ModuleDict({"proj": nn.Linear(width, 8 * width)})})})
        self.ff["net"]["2"] = nn.Linear(4 * width, width)  # pyright: ignore

    def forward(self, x: Tensor, context: Tensor, views: int) -> Tensor:
        n, tokens, width = x.shape
        x = x.reshape(n // views, views * tokens, width)
        y = self.norm1(x)
        x = (x + self.attn1(y, y)).reshape(n, tokens, width)
        x = x + self.attn2(self.norm2(x), context)
        net: Any = self.ff["net"]
        value, gate = net["0"]["proj"](self.norm3(x)).chunk(2, dim=-1)
        return x + net["2"](value * F.gelu(gate))


class Transformer(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.proj_in, self.proj_out = norm(width, 1e-6), nn.Linear(width, width), nn.Linear(width, width)
        self.transformer_blocks = nn.ModuleList([Block(width)])

    def forward(self, x: Tensor, context: Tensor, views: int) -> Tensor:
        y = self.proj_in(self.norm(x).flatten(2).mT)
        y = self.proj_out(self.transformer_blocks[0](y, context, views))
        return x + y.mT.unflatten(2, x.shape[2:])


class ResBlock(nn.Module):
    def __init__(self, taken: int, given: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(norm(taken), nn.SiLU(), nn.Conv2d(taken, given, 3, padding=1))
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(4 * WIDTHS[0], given))
        self.out_layers = nn.Sequential(norm(given), nn.SiLU(), nn.Identity(), nn.Conv2d(given, given, 3, padding=1))
        self.skip_connection = nn.Conv2d(taken, given, 1) if taken != given else nn.Identity()

    def forward(self, x: Tensor, emb: Tensor) -> Tensor:
        y = self.in_layers(x) + self.emb_layers(emb)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(y)


class Down(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(width, width, 3, stride=2, padding=1)


class Up(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)


class UNet(nn.Module):
    """Two levels of two blocks each, attention in the upper one and in the middle, as MVDream's last level has none."""

    def __init__(self) -> None:
        super().__init__()
        (a, b), time = WIDTHS, 4 * WIDTHS[0]
        self.time_embed = nn.Sequential(nn.Linear(a, time), nn.SiLU(), nn.Linear(time, time))
        self.camera_embed = nn.Sequential(nn.Linear(16, time), nn.SiLU(), nn.Linear(time, time))
        downward: list[list[nn.Module]] = [
            [nn.Conv2d(4, a, 3, padding=1)],
            [ResBlock(a, a), Transformer(a)],
            [ResBlock(a, a), Transformer(a)],
            [Down(a)],
            [ResBlock(a, b)],
            [ResBlock(b, b)],
        ]
        upward: list[list[nn.Module]] = [
            [ResBlock(b + b, b)],
            [ResBlock(b + b, b)],
            [ResBlock(b + a, b), Up(b)],
            [ResBlock(b + a, a), Transformer(a)],
            [ResBlock(a + a, a), Transformer(a)],
            [ResBlock(a + a, a), Transformer(a)],
        ]
        self.input_blocks = nn.ModuleList(nn.ModuleList(block) for block in downward)
        self.middle_block = nn.ModuleList([ResBlock(b, b), Transformer(b), ResBlock(b, b)])
        self.output_blocks = nn.ModuleList(nn.ModuleList(block) for block in upward)
        self.out = nn.Sequential(norm(a), nn.SiLU(), nn.Conv2d(a, 4, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, context: Tensor, camera: Tensor, views: int) -> Tensor:
        half = WIDTHS[0] // 2
        angles = time[:, None].float() * torch.exp(-math.log(10000) * torch.arange(half) / half)
        emb = self.time_embed(torch.cat([angles.cos(), angles.sin()], dim=-1)) + self.camera_embed(camera)

        def through(block: Any, x: Tensor) -> Tensor:
            for layer in block:
                if isinstance(layer, ResBlock):
                    x = layer(x, emb)
                elif isinstance(layer, Transformer):
                    x = layer(x, context, views)
                elif isinstance(layer, Down):
                    x = layer.op(x)
                elif isinstance(layer, Up):
                    x = layer.conv(F.interpolate(x, scale_factor=2, mode="nearest"))
                else:
                    x = layer(x)
            return x

        kept = []
        for block in self.input_blocks:
            x = through(block, x)
            kept.append(x)
        x = through(self.middle_block, x)
        for block in self.output_blocks:
            x = through(block, torch.cat([x, kept.pop()], dim=1))
        return self.out(x)

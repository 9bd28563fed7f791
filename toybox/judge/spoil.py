"""What is not an object: halves, merged and incomplete objects, blobs, smears and bare backgrounds.

Made on geometry buffers or on pictures, so that the judge cannot tell them by their light or colours.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toybox.buffers import EMPTY

Buffers = tuple[np.ndarray, np.ndarray]  # parts [fine, fine] uint8 and normals [fine, fine, 3] int8


def _side(rng: np.random.Generator, parts: np.ndarray) -> np.ndarray:
    """A random half plane through the object's middle, bool [fine, fine]."""
    rows, columns = np.nonzero(parts != EMPTY)
    angle = rng.uniform(0, 2 * np.pi)
    grid = np.mgrid[: parts.shape[0], : parts.shape[1]]
    along = np.cos(angle) * grid[0] + np.sin(angle) * grid[1]
    return along > np.quantile(np.cos(angle) * rows + np.sin(angle) * columns, rng.uniform(0.4, 0.6))


def half(rng: np.random.Generator, one: Buffers, other: Buffers) -> Buffers:
    """An object with one half cut away."""
    parts = np.where(_side(rng, one[0]), one[0], EMPTY).astype(np.uint8)
    return parts, one[1]


def merged(rng: np.random.Generator, one: Buffers, other: Buffers) -> Buffers:
    """Half of one object, half of another."""
    side = _side(rng, one[0])
    return np.where(side, one[0], other[0]), np.where(side[..., None], one[1], other[1])


def eaten(rng: np.random.Generator, one: Buffers, other: Buffers) -> Buffers:
    """An object with large round holes: less than about half of it is left."""
    parts = one[0].copy()
    rows, columns = np.nonzero(parts != EMPTY)
    grid = np.mgrid[: parts.shape[0], : parts.shape[1]]
    left = len(rows)
    for _ in range(40):
        if left < 0.55 * len(rows):
            break
        at = rng.integers(len(rows))
        radius = rng.uniform(0.06, 0.16) * parts.shape[0]
        parts[(grid[0] - rows[at]) ** 2 + (grid[1] - columns[at]) ** 2 < radius**2] = EMPTY
        left = int((parts != EMPTY).sum())
    return parts, one[1]


def blob(rng: np.random.Generator, one: Buffers, other: Buffers) -> Buffers:
    """A smooth lump: the level set of low-pass noise, its normals those of a cushion, its parts in patches."""
    fine = one[0].shape[0]
    noise = torch.from_numpy(rng.standard_normal((1, 2, 7, 7))).float()
    smooth = F.interpolate(noise, (fine, fine), mode="bicubic", align_corners=False)[0].numpy()
    grid = np.linspace(-1, 1, fine)
    radius = np.hypot(grid[:, None] * rng.uniform(0.9, 1.6), grid[None] * rng.uniform(0.9, 1.6))
    height = 0.75 - radius + 0.25 * smooth[0]
    parts = np.where(height > 0, np.where(smooth[1] > 0.3, 1, 0), EMPTY).astype(np.uint8)
    slope = np.stack(np.gradient(-height), axis=-1) * fine * 0.5
    normals = np.stack([slope[..., 1], -slope[..., 0], np.full_like(height, 1.0)], axis=-1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return parts, np.round(normals * 127).astype(np.int8)


def bare(rng: np.random.Generator, one: Buffers, other: Buffers) -> Buffers:
    """Nothing but background."""
    return np.full_like(one[0], EMPTY), one[1]


SPOILS = (half, merged, eaten, blob, bare)
SPOIL_SHARES = (0.28, 0.28, 0.2, 0.18, 0.06)


def spoil(rng: np.random.Generator, one: Buffers, other: Buffers) -> Buffers:
    """Something that is no whole object, made from the buffers of two different kinds."""
    return SPOILS[rng.choice(len(SPOILS), p=SPOIL_SHARES)](rng, one, other)


def weather(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Blur, noise, saturation and brightness as generated and rendered pictures have them, [batch, 3, h, w] in 0..1."""
    count = len(pictures)

    def chance(share: float) -> Tensor:
        return (torch.rand(count, 1, 1, 1, generator=rng) < share).float()

    blurred = F.avg_pool2d(F.pad(pictures, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    mix = chance(0.5) * torch.rand(count, 1, 1, 1, generator=rng)
    pictures = torch.lerp(pictures, blurred, mix)
    coarse = F.interpolate(F.avg_pool2d(pictures, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    pictures = torch.lerp(pictures, coarse, chance(0.25))
    grey = pictures.mean(dim=1, keepdim=True)
    saturation = 1 + 0.3 * (torch.rand(count, 1, 1, 1, generator=rng) * 2 - 1) * chance(0.6)
    brightness = 1 + 0.12 * (torch.rand(count, 1, 1, 1, generator=rng) * 2 - 1)
    pictures = (grey + saturation * (pictures - grey)) * brightness
    strength = 0.06 * torch.rand(count, 1, 1, 1, generator=rng) * chance(0.6)
    return (pictures + strength * torch.randn(pictures.shape, generator=rng)).clamp(0, 1)

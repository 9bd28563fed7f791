"""Colour, light and background put onto geometry buffers.

The light is fixed in the world (a hemisphere of sky and ground plus one lamp, no highlights), so that a surface point
has one colour from wherever it is seen: what a radiance field without view dependence can hold.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from toybox.buffers import EMPTY, SUPERSAMPLING
from toybox.world import load_world


def shade(normals: Tensor, light: Tensor) -> Tensor:
    """Brightness under the world's light.

    Args:
        normals: unit vectors, shape [..., 3].
        light: unit vector toward the lamp, shape [batch, 3], for the leading dimension of `normals`.

    Returns:
        Shape [...]; 1 is the colour's own brightness.
    """
    strengths = load_world().light
    sky, ground, lamp = strengths.ambient_sky, strengths.ambient_ground, strengths.diffuse
    toward = torch.einsum("b...c,bc->b...", normals, light).clamp(min=0)
    return ground + (sky - ground) * (0.5 + 0.5 * normals[..., 1]) + lamp * toward


def paint(parts: Tensor, normals: Tensor, colours: Tensor, backgrounds: Tensor, light: Tensor) -> tuple[Tensor, Tensor]:
    """Pictures of geometry buffers.

    Args:
        parts: part indices or EMPTY, uint8, [batch, fine, fine], fine = SUPERSAMPLING x size.
        normals: int8 (of 127), [batch, fine, fine, 3].
        colours: RGB of each part, [batch, at least parts, 3], in 0..1.
        backgrounds: RGB, [batch, 3].
        light: unit vectors toward the lamp, [batch, 3].

    Returns:
        Pictures [batch, 3, size, size] in 0..1 and the object's coverage [batch, 1, size, size] in 0..1.
    """
    inside = parts != EMPTY
    index = torch.where(inside, parts, 0).long()
    batch = torch.arange(len(parts))[:, None, None]
    radiance = colours[batch, index] * shade(normals.float() / 127, light)[..., None]
    picture = torch.where(inside[..., None], radiance.clamp(max=1), backgrounds[:, None, None])
    small = F.avg_pool2d(picture.permute(0, 3, 1, 2), SUPERSAMPLING)
    return small, F.avg_pool2d(inside[:, None].float(), SUPERSAMPLING)


def training_light(count: int, rng: torch.Generator | None = None) -> Tensor:
    """The world's lamp for `count` pictures, [count, 3]; with `rng` a little astray, as in training."""
    strengths = load_world().light
    light = torch.tensor(strengths.direction).expand(count, 3)
    if rng is not None:
        light = light + strengths.jitter * torch.randn(count, 3, generator=rng)
    return F.normalize(light, dim=-1)

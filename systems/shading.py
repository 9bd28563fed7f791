"""Lambertian light on rendered objects, for the stage that sees colours."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from core.chance import normal, uniform
from core.errors import require
from core.types import RenderOutput


@dataclass(frozen=True)
class Shading:
    """How often, and how, light falls on the object."""

    share: float = 0.0
    """Share of the views that are lit, each from a direction of its own; 0: colours are shown as they are."""
    ambient: float = 0.4
    """Brightness of what the light does not reach; what it meets squarely has brightness 1."""

    def __post_init__(self) -> None:
        require(0 <= self.share <= 1, f"share: from 0 to 1, got {self.share:g}")
        require(0 <= self.ambient <= 1, f"ambient: from 0 to 1, got {self.ambient:g}")

    def light(self, n_views: int, rng: Generator) -> "Light":
        """A direction for each view, and which views are lit at all."""
        toward = F.normalize(normal(rng, n_views, 3), dim=-1)
        lit = uniform(rng, n_views) < self.share
        return Light(toward, torch.where(lit, self.ambient, 1.0))


@dataclass(frozen=True)
class Light:
    """One lamp per view, infinitely far away."""

    toward: Float[Tensor, "views 3"]
    """Unit vectors to the lamps."""
    ambient: Float[Tensor, "views"]
    """1 for a view that is not lit."""


def shade(render: RenderOutput, light: Light | None) -> Float[Tensor, "views height width 3"]:
    """The object's colours times a + (1 - a) max(0, <n, l>), premultiplied by opacity as before.

    Source: DreamFusion (arXiv:2209.14988), section 3.1, with unit normals.

    Raises:
        ValueError: there is light, but the views were rendered without normals.
    """
    if light is None:
        return render.foreground
    if render.normals is None:
        raise ValueError("render with_normals=True")
    toward, ambient = light.toward.to(render.normals), light.ambient.to(render.normals)[:, None, None]
    normals = F.normalize(render.normals, dim=-1, eps=1e-6)
    diffuse = torch.einsum("vhwi,vi->vhw", normals, toward).clamp_min(0)
    return render.foreground * (ambient + (1 - ambient) * diffuse)[..., None]

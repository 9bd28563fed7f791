"""`latent-nerf-rgb`: a trained latent radiance field refined as colours, through the encoder.

A picture at full size costs as many rays as pixels. The cheap way sees a whole picture as well, but renders only one
random square of it finely and with gradient; the rest is rendered coarsely, without gradient, and enlarged.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.3.
"""

import logging
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from core.cameras import camera_rays
from core.errors import require
from core.kinds import DensityField
from core.part import Choice
from core.types import Cameras, LinearColour, RenderOutput
from guidance.latent_colour import STABLE_DIFFUSION_1, fit_linear_colour
from guidance.same_latents import check_same_latents, same_latents
from renderers.compositing import over_background, seen_behind
from systems.base import LightningSystem
from systems.shading import Light, Shading, shade
from systems.steps import StepRendering

log = logging.getLogger(__name__)

#: Views that the linear layer is fitted on.
N_FITTED_VIEWS = 16


class LatentNeRFRGB(LightningSystem, name="latent-nerf-rgb"):
    """Colours for a trained latent field, refined through the encoder; begins with a run (--from)."""

    refines = True

    @dataclass(frozen=True)
    class Config(LightningSystem.Config):
        """Settings of the RGB stage."""

        geometry: Choice[DensityField]
        """The field of colours."""
        colour: Literal["fitted", "stable-diffusion-1"] = "fitted"
        """First linear layer: `fitted` to the run's own views, or the one published for Stable Diffusion 1.x."""
        rays: Literal["whole", "square"] = "square"
        """`whole` renders pictures at full size, `square` a random square of half their side, the rest coarsely."""
        coarse_pixel: int = 4
        """Pixels along each side of a coarse one; squares are aligned to them. The encoder's factor is right."""
        shading: Shading = field(default_factory=Shading)
        """Light on the object, so that its shape cannot be painted onto a flat surface."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.coarse_pixel >= 1, f"coarse_pixel: at least 1, got {self.coarse_pixel}")

    def take_result(self, other: LightningSystem) -> None:
        """Begin with another run's field: of latents, which gets a linear layer, or of colours.

        Raises:
            UserError: its geometry does not fit, or the published layer is not for its latents.
        """
        shows_colours = same_latents(self.guidance, other.guidance)
        colour = None if shows_colours else self._first_colour(other)
        self.geometry.start_from(other.geometry, colour)
        self.background.start_from(other.background, colour)

    def render_step(self, cameras: Cameras, rng: Generator) -> StepRendering:
        """Whole pictures in light, and the part of them that has a gradient."""
        with_normals = self.losses.with_normals or self.config.shading.share > 0
        light = self.config.shading.light(len(cameras), rng) if self.config.shading.share > 0 else None
        if self.config.rays == "whole":
            render = self.renderer(self.geometry, self.background, cameras, rng, with_normals)
            return StepRendering(self._lit(render, light, cameras, rng), render, cameras)
        step = self.config.coarse_pixel
        rough = cameras.resized(cameras.height // step, cameras.width // step)
        with torch.no_grad():
            coarse = self.renderer(self.geometry, self.background, rough, rng, with_normals)
        top, left, height, width = self._square(cameras, rng)
        square = cameras.cut(top, left, height, width)
        fine = self.renderer(self.geometry, self.background, square, rng, with_normals)
        whole = pasted(
            replace(coarse, foreground=shade(coarse, light)),
            replace(fine, foreground=shade(fine, light)),
            (top, left),
            (cameras.height, cameras.width),
        )
        return StepRendering(self._lit(whole, None, cameras, rng), fine, square)

    def _lit(self, render: RenderOutput, light: Light | None, cameras: Cameras, rng: Generator) -> RenderOutput:
        """A rendering whose picture is the object in light before the background."""
        foreground = shade(render, light)
        behind = seen_behind(self.background, camera_rays(cameras).directions, rng, foreground)
        return replace(render, foreground=foreground, latents=over_background(foreground, render.opacity, behind))

    def _first_colour(self, other: LightningSystem) -> LinearColour:
        if self.config.colour == "stable-diffusion-1":
            check_same_latents(self.guidance, other.guidance)
            return STABLE_DIFFUSION_1
        cameras = other.surrounding_cameras(N_FITTED_VIEWS, other.guidance.latent_size)
        latents = other.render(cameras).latents
        pictures = other.decode(latents).movedim(-1, 1)
        means = F.adaptive_avg_pool2d(pictures, (cameras.height, cameras.width)).movedim(1, -1)
        colour = fit_linear_colour(latents.flatten(0, 2), means.flatten(0, 2))
        log.info("linear layer from latents to colours: R^2 %.3f on %d views", colour.r_squared or 0, len(cameras))
        return colour

    def _square(self, cameras: Cameras, rng: Generator) -> tuple[int, int, int, int]:
        """Top, left, height and width of a random square of half the picture's side, aligned to coarse pixels."""
        step = self.config.coarse_pixel
        height, width = (side // (2 * step) * step for side in (cameras.height, cameras.width))
        free = torch.tensor([cameras.height - height, cameras.width - width]) // step + 1
        share = torch.rand(2, generator=rng, device=rng.device).cpu()
        top, left = (int(number) * step for number in (share * free).long().minimum(free - 1))
        return top, left, height, width


def pasted(coarse: RenderOutput, fine: RenderOutput, corner: tuple[int, int], size: tuple[int, int]) -> RenderOutput:
    """A coarse rendering enlarged to `size` (rows, columns), with a fine one pasted in at `corner` (row, column).

    What is behind the object is left out of it: its picture is the foreground.
    """
    normals = None
    if coarse.normals is not None and fine.normals is not None:
        normals = _pasted(coarse.normals, fine.normals, corner, size)
    around, inside = (
        torch.cat([render.foreground, render.opacity[..., None], render.depth[..., None]], dim=-1)
        for render in (coarse, fine)
    )
    whole = _pasted(around, inside, corner, size)
    foreground, opacity, depth = whole[..., :-2], whole[..., -2], whole[..., -1]
    return RenderOutput(foreground, opacity, depth, normals, foreground, samples=None)


def _pasted(
    coarse: Float[Tensor, "views rows columns channels"],
    fine: Float[Tensor, "views height width channels"],
    corner: tuple[int, int],
    size: tuple[int, int],
) -> Float[Tensor, "views whole_height whole_width channels"]:
    whole = F.interpolate(coarse.movedim(-1, 1), size, mode="bilinear").movedim(1, -1).clone()
    top, left = corner
    whole[:, top : top + fine.shape[1], left : left + fine.shape[2]] = fine
    return whole

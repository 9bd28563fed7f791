"""`latent-nerf-rgb`: a trained latent radiance field refined as colours, through the encoder.

A picture at full size costs as many rays as pixels. The cheap way sees a whole picture as well, but renders only one
random square of it finely and with gradient; the rest is rendered coarsely, without gradient, and enlarged.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.3.
"""

import copy
import logging
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from core.cameras import camera_rays
from core.errors import UserError, require
from core.kinds import DensityField
from core.part import Choice
from core.schedule import Schedule
from core.types import Cameras, RenderOutput
from geometry.rgb_field import RGBField
from guidance.latent_colour import STABLE_DIFFUSION_1, LinearColour, fit_linear_colour
from guidance.rgb import RGBGuidance
from renderers.backgrounds import DirectionalBackground
from renderers.compositing import over_background
from systems.base import LightningSystem
from systems.continuation import check_same_field, check_same_latents
from systems.latent_nerf import LatentNeRF, Losses
from systems.shading import Shading, shade

log = logging.getLogger(__name__)

#: Views that the linear layer is fitted on.
N_FITTED_VIEWS = 16


@dataclass(frozen=True)
class RGBLosses(Losses):
    """Weights of the RGB stage's loss terms."""

    kept: Schedule = field(default_factory=lambda: Schedule.constant(0.0))
    """Squares of `kept_pixels` keep the mean colours that the stage began with: edges sharpen, colours stay."""


class LatentNeRFRGB(LatentNeRF, name="latent-nerf-rgb"):
    """Colours for a trained latent field, refined through the encoder; goes on from a run (--from)."""

    continues = True

    @dataclass(frozen=True)
    class Config(LightningSystem.Config):
        """Settings of the RGB stage."""

        geometry: Choice[DensityField]
        """The field of colours."""
        losses: RGBLosses = field(default_factory=RGBLosses)
        """Weights of the loss terms."""
        kept_pixels: int = 16
        """Pixels along each side of a square of `losses.kept`, half a picture's side at most."""
        colour: Literal["fitted", "stable-diffusion-1"] = "fitted"
        """First linear layer: `fitted` to the run's own views, or the one published for Stable Diffusion 1.x."""
        rays: Literal["whole", "square"] = "square"
        """`whole` renders pictures at full size, `square` a random square of half their side, the rest coarsely."""
        coarse_pixel: int = 4
        """Pixels along each side of a coarse one; squares are aligned to them. The encoder's factor is right."""
        shading: Shading = field(default_factory=Shading)
        """Light on the object, so that its shape cannot be painted onto a flat surface."""

        def __post_init__(self) -> None:
            for name in ("coarse_pixel", "kept_pixels"):
                require(getattr(self, name) >= 1, f"{name}: at least 1, got {getattr(self, name)}")

    def __init__(self, config: Any, prompt: str, seed: int, total_steps: int) -> None:
        super().__init__(config, prompt, seed, total_steps)
        #: The field that the stage began with; a part of its checkpoints, since a resumed stage needs it too.
        self.began = copy.deepcopy(self.geometry).requires_grad_(False) if max(config.losses.kept.values) > 0 else None

    def losses(self, cameras: Cameras, step: int, rng: Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Guidance on the whole picture; sparsity and what is to be kept on what is rendered with gradient."""
        foreground, opacity, fine, seen = self._picture(cameras, rng)
        behind = self.background(camera_rays(cameras).directions, rng)
        picture = over_background(foreground, opacity, behind)
        guidance = self.guidance(picture, cameras, step, self.total_steps, rng)
        terms = {"sds": guidance.loss, **self.shape_terms(fine, cameras)}
        if self.began is not None:
            with torch.no_grad():
                before = self.renderer(self.began, self.background, seen, rng)
            terms["kept"] = square_means_error(fine.foreground, before.foreground, self.config.kept_pixels)
        return terms, {"opacity": opacity.detach().mean(), **guidance.metrics}

    def take_over(self, other: LightningSystem) -> None:
        """Begin with another run's field: of latents, which gets a linear layer, or of colours.

        Raises:
            UserError: its geometry does not fit, or the published layer is not for its latents.
        """
        mine, theirs = self.geometry, other.geometry
        if isinstance(mine, RGBField) and not isinstance(theirs, RGBField):
            check_same_field(mine.config.of, other.config.geometry, "system.geometry.of")
            n_latents = mine.config.n_latents
            if n_latents != theirs.n_channels:
                raise UserError(
                    f"--from: the run does not fit system.geometry of this recipe: its latents have "
                    f"{theirs.n_channels} channels, not {n_latents}; give system.geometry.n_latents={theirs.n_channels}"
                )
            _load(mine.of, theirs.state_dict(), "system.geometry.of")
            colour = self._first_colour(other)
            mine.set_colour(colour.matrix, colour.bias)
            _recolour(self.background, other.background, colour)
        else:
            check_same_field(self.config.geometry, other.config.geometry, "system.geometry")
            _load(mine, theirs.state_dict(), "system.geometry")
        if self.began is not None:
            self.began.load_state_dict(mine.state_dict())

    def _first_colour(self, other: LightningSystem) -> LinearColour:
        if self.config.colour == "stable-diffusion-1":
            if isinstance(self.guidance, RGBGuidance):
                check_same_latents(self.guidance.of, other.guidance, "system.guidance.of")
            return STABLE_DIFFUSION_1
        cameras = other.surrounding_cameras(N_FITTED_VIEWS, other.guidance.latent_size)
        latents = other.render(cameras).latents
        pictures = other.decode(latents).movedim(-1, 1)
        means = F.adaptive_avg_pool2d(pictures, (cameras.height, cameras.width)).movedim(1, -1)
        colour = fit_linear_colour(latents.flatten(0, 2), means.flatten(0, 2))
        log.info("linear layer from latents to colours: R^2 %.3f on %d views", colour.r_squared or 0, len(cameras))
        return colour

    def _picture(
        self, cameras: Cameras, rng: Generator
    ) -> tuple[Float[Tensor, "views height width 3"], Float[Tensor, "views height width"], RenderOutput, Cameras]:
        """The object and its opacity in every pixel, the rendering that has a gradient, and its cameras."""
        with_normals = self.config.shading.share > 0
        light = self.config.shading.light(len(cameras), rng) if with_normals else None
        if self.config.rays == "whole":
            whole = self.renderer(self.geometry, self.background, cameras, rng, with_normals)
            return shade(whole, light), whole.opacity, whole, cameras
        step = self.config.coarse_pixel
        rough = cameras.resized(cameras.height // step, cameras.width // step)
        with torch.no_grad():
            coarse = self.renderer(self.geometry, self.background, rough, rng, with_normals)
        top, left, height, width = self._square(cameras, rng)
        square = cameras.cut(top, left, height, width)
        fine = self.renderer(self.geometry, self.background, square, rng, with_normals)
        around = torch.cat([shade(coarse, light), coarse.opacity[..., None]], dim=-1)
        inside = torch.cat([shade(fine, light), fine.opacity[..., None]], dim=-1)
        picture = pasted(around, inside, top, left, (cameras.height, cameras.width))
        return picture[..., :3], picture[..., 3], fine, square

    def _square(self, cameras: Cameras, rng: Generator) -> tuple[int, int, int, int]:
        """Top, left, height and width of a random square of half the picture's side, aligned to coarse pixels."""
        step = self.config.coarse_pixel
        height, width = (side // (2 * step) * step for side in (cameras.height, cameras.width))
        free = torch.tensor([cameras.height - height, cameras.width - width]) // step + 1
        share = torch.rand(2, generator=rng, device=rng.device).cpu()
        top, left = (int(number) * step for number in (share * free).long().minimum(free - 1))
        return top, left, height, width


def square_means_error(
    ours: Float[Tensor, "views height width channels"], theirs: Float[Tensor, "views height width channels"], side: int
) -> Float[Tensor, ""]:
    """Mean squared difference between the means of squares of `side` pixels, of the whole where that is smaller.

    What is left over at the right and lower edge counts in no square.
    """
    size = [min(side, length) for length in ours.shape[1:3]]
    return F.avg_pool2d((ours - theirs).movedim(-1, 1), size).square().mean()


def pasted(
    coarse: Float[Tensor, "views rows columns channels"],
    fine: Float[Tensor, "views height width channels"],
    top: int,
    left: int,
    size: tuple[int, int],
) -> Float[Tensor, "views whole_height whole_width channels"]:
    """The coarse picture enlarged to `size`, with the fine one in its place."""
    whole = F.interpolate(coarse.movedim(-1, 1), size, mode="bilinear").movedim(1, -1).clone()
    whole[:, top : top + fine.shape[1], left : left + fine.shape[2]] = fine
    return whole


def _load(mine: torch.nn.Module, state: dict[str, Tensor], where: str) -> None:
    try:
        mine.load_state_dict(state)
    except RuntimeError as error:
        first = " ".join(str(error).splitlines()[1:2]).strip()
        raise UserError(f"--from: the run does not fit {where} of this recipe: {first}") from error


@torch.no_grad()
def _recolour(mine: torch.nn.Module, theirs: torch.nn.Module, colour: LinearColour) -> None:
    """A learnt background goes through the same layer, which its own last layer takes in: rgb = (M z + b + 1) / 2."""
    if not (isinstance(mine, DirectionalBackground) and isinstance(theirs, DirectionalBackground)):
        return
    state = theirs.mlp.state_dict()
    matrix, bias = colour.matrix.to(state["2.weight"]), colour.bias.to(state["2.weight"])
    state["2.weight"], state["2.bias"] = matrix @ state["2.weight"] / 2, (matrix @ state["2.bias"] + bias + 1) / 2
    _load(mine.mlp, state, "system.background")

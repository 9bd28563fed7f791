"""What makes one score differ from another: what eps_hat is compared with, and where the noise comes from.

All scores of `latent-sds` move rendered latents z by

    g = w(t) (eps_hat - reference)             eps_hat = eps_uncond + s (eps_text - eps_uncond), seen in x_t

    score  reference
    sds    eps                                 the noise in x_t: DreamFusion (arXiv:2209.14988), eq. 3
    csd    eps_uncond                          so g = w s (eps_text - eps_uncond): Classifier Score Distillation
                                               (arXiv:2310.19415)
    nfsd   0 for t < 0.2 T, else eps_negative  Noise-free Score Distillation (arXiv:2310.17590)
    asd    eps_text(x_{t + d}, t + d)          with the same eps: ScaleDreamer (arXiv:2407.02040)
    vsd    eps_lora(x_t, t)                    a LoRA of the denoiser, trained beside with the loss |eps_lora - eps|^2:
                                               ProlificDreamer (arXiv:2305.16213), here without a camera

and the noise is `fresh` at each step; or that of the `surface`, which a point keeps from step to step (Consistent Flow
Distillation, arXiv:2501.05445); or `inverted`: what leads from z to x_t by the denoiser's own answers (SDI,
arXiv:2405.15891).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor

from core.cameras import camera_rays
from core.chance import normal
from core.errors import require
from core.schedule import Schedule, require_values
from core.types import Cameras, RenderOutput, TensorRecord
from guidance.sds import add_noise, per_pixel

Score = Literal["sds", "csd", "nfsd", "asd", "vsd"]
NoiseSource = Literal["fresh", "surface", "inverted"]
#: Share of the timesteps below which `nfsd` takes the unconditional answer for what the picture lacks.
LITTLE_NOISE = 0.2
#: Opacity from which on a pixel shows the surface.
OPAQUE = 0.5


@dataclass(frozen=True)
class VariationSettings:
    """The LoRA that the score `vsd` trains."""

    rank: int = 4
    """Rank of the LoRA in each attention layer."""
    learning_rate: float = 1e-3
    """Adam's learning rate for the LoRA."""

    def __post_init__(self) -> None:
        require(1 <= self.rank <= 1024, f"rank: from 1 to 1024, got {self.rank}")
        require(self.learning_rate > 0, f"learning_rate: above 0, got {self.learning_rate:g}")


@dataclass(frozen=True)
class ScoreSettings:
    """Which score, which noise, which timesteps."""

    timesteps: Literal["uniform", "annealed"] = "uniform"
    """`uniform`: drawn between min_noise and max_noise; `annealed`: always at max_noise, which is to come down."""
    score: Score = "sds"
    """What the denoiser's answer is compared with: `sds` (the noise), `csd` (its answer to the unconditional text),
    `nfsd` (to the negative prompt), `asd` (to the prompt at more noise), `vsd` (that of a LoRA trained beside)."""
    noise: NoiseSource = "fresh"
    """`fresh`: drawn at every step; `surface`: each surface point keeps its noise between steps; `inverted`: found by
    DDIM inversion with the denoiser."""
    inversion_steps: int = 4
    """Calls of the denoiser that `inverted` noise takes."""
    asynchrony: float = 0.1
    """For `asd`: the largest timestep shift, as a fraction of t; drawn uniformly up to it."""
    variation: VariationSettings = field(default_factory=VariationSettings)
    """Of `vsd`."""
    normalize: bool = False
    """Whether the gradient is divided by its root mean square over an object's views."""
    gradient_limit: Schedule | None = None
    """Largest length of the gradient at a pixel; longer ones are shortened. Null: none."""

    def __post_init__(self) -> None:
        super().__post_init__()  # pyright: ignore[reportAttributeAccessIssue]
        require_values("gradient_limit", self.gradient_limit or Schedule.constant(0.0))
        require(1 <= self.inversion_steps <= 1000, f"inversion_steps: from 1 to 1000, got {self.inversion_steps}")
        require(0 < self.asynchrony <= 1, f"asynchrony: above 0 and at most 1, got {self.asynchrony}")


@dataclass(frozen=True)
class NoisyLatents(TensorRecord):
    """Rendered latents with noise on them, as the denoiser is asked about them."""

    latents: Float[Tensor, "views height width channels"]
    """x_t = alpha z + sigma eps."""
    noise: Float[Tensor, "views height width channels"]
    """eps."""
    timestep: Int[Tensor, "views"]
    """Index into the noise schedule; 0 is the least noise."""
    alpha: Float[Tensor, "views"]
    sigma: Float[Tensor, "views"]


@dataclass(frozen=True)
class Predicted(TensorRecord):
    """What the denoiser says of them."""

    guided: Float[Tensor, "views height width channels"]
    """eps_hat."""
    conditional: Float[Tensor, "views height width channels"]
    """eps_text."""
    unconditional: Float[Tensor, "views height width channels"]
    """eps_uncond."""
    negative: Float[Tensor, "views height width channels"] | None = None
    """eps_negative, where the negative prompt does not stand in the unconditional text's place."""


def pushed_away(
    predicted: Predicted, scale: float, perpendicular: bool
) -> Float[Tensor, "views height width channels"]:
    """eps_hat - s_neg (eps_negative - eps_uncond).

    Args:
        perpendicular: leave out of it, view by view, what points along eps_text - eps_uncond, so that a negative prompt
            which shares words with the prompt does not take these away.

    Sources: Classifier Score Distillation (arXiv:2310.19415), where s_neg comes down; Perp-Neg (arXiv:2304.04968).
    """
    assert predicted.negative is not None
    away, asked = predicted.negative - predicted.unconditional, predicted.conditional - predicted.unconditional
    if perpendicular:
        along = (away * asked).sum(dim=(1, 2, 3)) / asked.square().sum(dim=(1, 2, 3)).clamp_min(1e-12)
        away = away - per_pixel(along) * asked
    return predicted.guided - scale * away


def later(
    noisy: NoisyLatents,
    latents: Float[Tensor, "views height width channels"],
    timestep: Int[Tensor, "views"],
    alphas: Float[Tensor, "timesteps"],
    sigmas: Float[Tensor, "timesteps"],
) -> NoisyLatents:
    """The same latents with the same noise at other timesteps."""
    alpha, sigma = alphas[timestep], sigmas[timestep]
    seen = add_noise(latents.detach().float(), noisy.noise, alpha, sigma)
    return NoisyLatents(seen, noisy.noise, timestep, alpha, sigma)


def inverted(
    noisy: NoisyLatents,
    latents: Float[Tensor, "views height width channels"],
    alphas: Float[Tensor, "timesteps"],
    sigmas: Float[Tensor, "timesteps"],
    ask: Callable[[NoisyLatents], Tensor],
    n_steps: int,
) -> NoisyLatents:
    """x_t as DDIM's steps lead to it from z, and the noise that it holds; no gradient.

    x_{k+1} = alpha_{k+1} z_hat + sigma_{k+1} eps_hat with z_hat = (x_k - sigma_k eps_hat) / alpha_k, from x_0 = z on.

    Args:
        ask: gives eps_hat of noisy latents.
        n_steps: calls of it; the timesteps are evenly spaced from 0 to t.

    Source: DDIM (arXiv:2010.02502), eq. 13; SDI (arXiv:2405.15891).
    """
    z = latents.detach().float()
    seen, here = z, torch.zeros_like(noisy.timestep)
    for k in range(1, n_steps + 1):
        there = noisy.timestep * k // n_steps
        now = NoisyLatents(seen, noisy.noise, here, alphas[here], sigmas[here])
        noise = ask(now).float()
        picture = (seen - per_pixel(now.sigma) * noise) / per_pixel(now.alpha)
        seen, here = per_pixel(alphas[there]) * picture + per_pixel(sigmas[there]) * noise, there
    noise = (seen - per_pixel(noisy.alpha) * z) / per_pixel(noisy.sigma)
    return NoisyLatents(seen, noise, noisy.timestep, noisy.alpha, noisy.sigma)


@torch.no_grad()
def surface_noise(
    render: RenderOutput, cameras: Cameras, cell: float, rng: Generator
) -> Float[Tensor, "views height width channels"]:
    """White noise that each point of the surface keeps, from whatever view and at whatever step.

    Space is divided into cells whose number is hashed to normal draws. Where two pixels of a view see the same
    cell, and where nothing opaque is seen, noise is drawn from `rng`: no two values of a picture depend on each other.

    Args:
        cell: side of a cell in world units, about what a pixel covers.
    """
    views, height, width, channels = render.latents.shape
    rays = camera_rays(cameras.resized(height, width))
    points = rays.origins + rays.directions * render.depth.to(rays.origins)[..., None]
    number = _cell_numbers((points / cell).floor().long()).flatten(1)
    kept = (render.opacity.flatten(1) > OPAQUE) & _first_of_its_kind(number)
    fresh = normal(rng, *render.latents.shape).to(number.device)
    noise = torch.where(kept[..., None], _normal_draws(number, channels), fresh.flatten(1, 2))
    return noise.reshape(views, height, width, channels)


def _first_of_its_kind(number: Int[Tensor, "views pixels"]) -> Bool[Tensor, "views pixels"]:
    """Whether no earlier pixel of the view has the same number."""
    in_order, order = number.sort(dim=1, stable=True)
    first = torch.ones_like(in_order, dtype=torch.bool)
    first[:, 1:] = in_order[:, 1:] != in_order[:, :-1]
    return torch.zeros_like(first).scatter(1, order, first)


def _cell_numbers(cells: Int[Tensor, "*pixels 3"]) -> Int[Tensor, "*pixels"]:
    number = torch.zeros_like(cells[..., 0])
    for axis in range(3):
        number = _mixed(number + cells[..., axis])
    return number


def _mixed(number: Int[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """SplitMix64 (Steele et al., 2014): every bit of the result depends on every bit of the number."""
    number = number - 0x61C8864680B583EB  # 2^64 / golden ratio, as a signed number
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        number = (number ^ ((number >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return number ^ ((number >> 31) & ((1 << 33) - 1))


def _normal_draws(number: Int[Tensor, "*pixels"], channels: int) -> Float[Tensor, "*pixels channels"]:
    """Standard normal numbers by Box and Muller's formula."""
    each = torch.arange(channels, device=number.device)
    bits = [_mixed(number[..., None] + (2 * each + i) * 0x632BE59BD9B4E019 % 2**62) for i in range(2)]
    radius, angle = (((part >> 11) & ((1 << 24) - 1)).float() + 0.5 for part in bits)
    return (-2 * (radius / 2**24).log()).sqrt() * (2 * math.pi * angle / 2**24).cos()

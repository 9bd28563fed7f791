"""Latent score distillation as pure functions.

Vocabulary: z are the rendered latents, t the diffusion timestep, alpha and sigma the noise schedule at t,
eps the drawn noise, eps_hat the noise that the diffusion model sees in x_t.

    x_t  = alpha z + sigma eps
    eps_hat = eps_uncond + s (eps_text - eps_uncond)
    z_hat   = (x_t - sigma eps_hat) / alpha                the picture that eps_hat asks for, its contrast brought back:
    z_hat  <- (phi std(z_text) / std(z_hat) + 1 - phi) z_hat
    g    = w(t) (eps_hat - eps)
    loss = 0.5 * sum (z - stop_grad(z - g))^2 / (views * height * width)

z_text is what eps_text alone asks for.

Sources: DreamFusion (arXiv:2209.14988), eq. 3; classifier-free guidance (arXiv:2207.12598), eq. 6; the contrast: Lin et
al. (arXiv:2305.08891), eq. 15-16, applied to z_hat as in MVDream (arXiv:2308.16512); Latent-NeRF (arXiv:2211.07600),
section 3.1.
"""

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.chance import uniform

Weighting = Literal["sigma2", "sqrt-alpha-sigma2", "uniform"]

#: w(t) by the name that recipes use. `sqrt-alpha-sigma2` is what Latent-NeRF's published code computes:
#: sqrt(alpha_bar) (1 - alpha_bar), which is alpha sigma^2 in our letters.
WEIGHTINGS: Mapping[Weighting, Callable[[Tensor, Tensor], Tensor]] = {
    "sigma2": lambda alpha, sigma: sigma**2,
    "sqrt-alpha-sigma2": lambda alpha, sigma: alpha * sigma**2,
    "uniform": lambda alpha, sigma: torch.ones_like(sigma),
}

#: Below this, a picture is flat, and its contrast no measure.
FAINTEST_CONTRAST = 1e-6


def draw_timesteps(
    n_views: int, floor: float, ceiling: float, n_timesteps: int, rng: torch.Generator, n_together: int = 1
) -> Int[Tensor, "views"]:
    """One timestep for each object's views, t ~ U[floor, ceiling], as an index into the noise schedule.

    Args:
        n_together: views of one object, one after the other.
        floor: least noise, as a share of the schedule in [0, 1].
        ceiling: most noise, as a share of the schedule; at least `floor`.
        n_timesteps: length of the schedule; index 0 is the least noise.
    """
    share = floor + (ceiling - floor) * uniform(rng, n_views // n_together)
    return (share * n_timesteps).long().clamp(0, n_timesteps - 1).repeat_interleave(n_together)


def add_noise(
    latents: Float[Tensor, "views height width channels"],
    noise: Float[Tensor, "views height width channels"],
    alpha: Float[Tensor, "views"],
    sigma: Float[Tensor, "views"],
) -> Float[Tensor, "views height width channels"]:
    """x_t = alpha z + sigma eps."""
    return per_pixel(alpha) * latents + per_pixel(sigma) * noise


def guided_noise(
    unconditional: Float[Tensor, "views height width channels"],
    conditional: Float[Tensor, "views height width channels"],
    scale: float,
) -> Float[Tensor, "views height width channels"]:
    """eps_hat = eps_uncond + s (eps_text - eps_uncond); s = 1 is the conditional prediction itself."""
    return unconditional + scale * (conditional - unconditional)


def rescaled_noise(
    noisy: Float[Tensor, "views height width channels"],
    guided: Float[Tensor, "views height width channels"],
    conditional: Float[Tensor, "views height width channels"],
    sigma: Float[Tensor, "views"],
    share: float,
    n_together: int = 1,
) -> Float[Tensor, "views height width channels"]:
    """eps_hat whose picture z_hat has its contrast brought back towards that of the text alone.

    It works on alpha z_hat = x_t - sigma eps_hat, which needs no division by alpha.

    Args:
        noisy: x_t.
        guided: eps_hat.
        conditional: eps_text, the prediction for the prompt without guidance.
        share, n_together: as of `rescaled_picture`.
    """
    noisy = noisy.float()
    asked, plain = (noisy - per_pixel(sigma) * noise.float() for noise in (guided, conditional))
    return (noisy - rescaled_picture(asked, plain, share, n_together)) / per_pixel(sigma)


def rescaled_picture(
    guided: Float[Tensor, "views height width channels"],
    conditional: Float[Tensor, "views height width channels"],
    share: float,
    n_together: int = 1,
) -> Float[Tensor, "views height width channels"]:
    """z_hat, multiplied by share std(z_text) / std(z_hat) + 1 - share.

    Args:
        guided: z_hat.
        conditional: z_text, the picture for the prompt without guidance.
        share: phi; 0 changes nothing, 1 gives all of the text's own contrast.
        n_together: views of one object, one after the other, over whose pixels and channels the standard deviations
            are taken together: else a view of little contrast would be lifted above its neighbours.

    Source: Lin et al. (arXiv:2305.08891), eq. 15-16, there of eps_hat; MVDream (arXiv:2308.16512) of z_hat.
    """
    objects = [picture.unflatten(0, (-1, n_together)) for picture in (conditional, guided)]
    plain, asked = (views.std(dim=(1, 2, 3, 4), keepdim=True) for views in objects)
    factor = share * plain / asked.clamp_min(FAINTEST_CONTRAST) + 1 - share
    return (factor * objects[1]).flatten(0, 1)


def sds_gradient(
    predicted_noise: Float[Tensor, "views height width channels"],
    noise: Float[Tensor, "views height width channels"],
    weight: Float[Tensor, "views"],
) -> Float[Tensor, "views height width channels"]:
    """g = w(t) (eps_hat - eps). The network's Jacobian is left out (DreamFusion, eq. 3)."""
    return per_pixel(weight) * (predicted_noise.float() - noise.float())


def normalized(
    gradient: Float[Tensor, "views height width channels"], n_together: int = 1
) -> Float[Tensor, "views height width channels"]:
    """The gradient over its root mean square, taken over all views of an object."""
    objects = gradient.unflatten(0, (-1, n_together))
    size = objects.square().mean(dim=(1, 2, 3, 4), keepdim=True).sqrt()
    return (objects / size.clamp_min(1e-12)).flatten(0, 1)


def shortened_gradient(
    gradient: Float[Tensor, "views height width channels"], limit: float
) -> Float[Tensor, "views height width channels"]:
    """The gradient with no pixel's longer than the limit, its direction kept."""
    length = gradient.norm(dim=-1, keepdim=True)
    return gradient * (limit / length.clamp_min(1e-12)).clamp(max=1.0)


def sds_loss(
    latents: Float[Tensor, "views height width channels"],
    gradient: Float[Tensor, "views height width channels"],
) -> Float[Tensor, ""]:
    """A scalar whose derivative by the latents is g / (views * height * width).

    Computed in float32 whatever the latents are: z - (z - g) cancels in half precision and loses a fifth of a
    small g in float16, nearly all of it in bfloat16.
    """
    views, height, width, _ = latents.shape
    latents = latents.float()
    with torch.autocast(latents.device.type, enabled=False):
        target = (latents - gradient.float()).detach()
        return 0.5 * (latents - target).square().sum() / (views * height * width)


def per_pixel(value: Float[Tensor, "views"]) -> Float[Tensor, "views 1 1 1"]:
    """One number per view, shaped to multiply a channels-last picture."""
    return value[:, None, None, None]

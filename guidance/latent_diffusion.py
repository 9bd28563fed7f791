"""A frozen latent diffusion model behind four methods: embed text, predict noise, encode, decode.

Sizes, channels, noise schedule and prediction type are read from the model's own files. Latents are channels last
outside of this module and channels first only inside.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.errors import UserError
from guidance.autoencoder import Autoencoder
from guidance.frozen import FrozenNetworks
from guidance.model_source import ModelSource
from guidance.noise_schedule import noise_from_output, read_noise_schedule
from guidance.recorded import Recorded
from guidance.text_encoding import TextEmbedding, TextEncoder


class LatentDiffusion(FrozenNetworks):
    """A Stable-Diffusion-like model: SD 1.x and 2.x, XL and 3, told apart by the parts that its folder lists.

    Attributes:
        autoencoder: pictures to latents and back.
        latent_size: height and width that the denoiser was trained with, in latents.
        n_timesteps: length of the noise schedule.
        alpha, sigma: the noise schedule, least noise first.
    """

    alpha: Tensor
    sigma: Tensor
    network_time: Tensor

    def __init__(self, source: ModelSource) -> None:
        """Read the model's parts.

        Raises:
            UserError: a part is missing or the parts do not fit each other.
        """
        layout = denoiser_part(source)
        denoiser = source.load(layout)
        text_encoder = TextEncoder(source, denoiser.config.joint_attention_dim if layout == "transformer" else None)
        super().__init__(denoiser, *text_encoder.networks)
        self.autoencoder = Autoencoder(source)
        self.latent_size = latent_size(source)
        self._text_encoder = text_encoder
        call = _denoiser_call(layout, denoiser.config, self.latent_size * self.autoencoder.pixel_factor)
        self._call = partial(call, denoiser)
        self._recorded = Recorded(self._call)
        _check_fit(denoiser.config, self.autoencoder.n_channels, source)

        schedule = read_noise_schedule(source.config("scheduler", "scheduler_config.json"))
        self.family, self.n_timesteps = schedule.family, len(schedule)
        for name in ("alpha", "sigma", "network_time"):
            self.register_buffer(name, getattr(schedule, name), persistent=False)
        # Weights are often stored in float16, which the CPU computes slowly or not at all.
        self.use_weights(torch.float32)

    def use_weights(self, dtype: torch.dtype) -> None:
        """Hold the networks' weights in a dtype; the autoencoder's in float32 instead of bfloat16.

        bfloat16 has eight bits: enough for a score that is one of thousands, too few for the shades of a picture.
        """
        for network in self._networks:
            nn.Module.to(network, dtype)  # the libraries' own `to` warns of layers that none of these models has
        # Convolutions are a tenth faster with channels last in memory too.
        denoiser: Any = self._networks[0]
        denoiser.to(memory_format=torch.channels_last)
        self.autoencoder.use_weights(torch.float32 if dtype is torch.bfloat16 else dtype)
        self._recorded.forget()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "LatentDiffusion":
        super()._apply(fn, recurse)
        self._recorded.forget()
        return self

    def fits(self, text: str) -> bool:
        """Whether the text encoder reads a text to its end."""
        return self._text_encoder.fits(text)

    def embed_text(self, texts: list[str]) -> TextEmbedding:
        """Embeddings of texts in the precision of the weights; the empty text is the unconditional one."""
        denoiser: Any = self._networks[0]
        return self._text_encoder.embed(texts).as_type(denoiser.dtype)

    @torch.no_grad()
    def predict_noise(
        self,
        noisy: Float[Tensor, "views height width channels"],
        timestep: Int[Tensor, "views"],
        text: TextEmbedding,
    ) -> Float[Tensor, "views height width channels"]:
        """eps_hat, the noise that the model sees in x_t, in float32.

        Args:
            timestep: index into the noise schedule, 0 is the least noise.
            text: one embedding per view, made since the weights have their precision.
        """
        denoiser: Any = self._networks[0]
        told = (text.tokens,) if text.pooled is None else (text.tokens, text.pooled)
        call = self._recorded if noisy.is_cuda else self._call
        # The weights have a precision of their own, whatever that of the training.
        with torch.autocast(noisy.device.type, enabled=False):
            output = call(noisy.movedim(-1, 1).to(denoiser.dtype), self.network_time[timestep], *told)
        alpha, sigma = self.alpha[timestep], self.sigma[timestep]
        return noise_from_output(self.family, output.movedim(1, -1), noisy, alpha, sigma)


def denoiser_part(source: ModelSource) -> str:
    """The folder of the denoiser: `transformer` for SD 3, `unet` for its elders."""
    return "transformer" if source.has("transformer") else "unet"


def latent_size(source: ModelSource) -> int:
    """Height and width that a model's denoiser was trained with, in latents.

    Raises:
        UserError: where its config does not say, or says no square.
    """
    size = source.config(denoiser_part(source), "config.json").get("sample_size")
    if isinstance(size, list) and len(set(size)) == 1:
        size = size[0]
    if not isinstance(size, int):
        raise UserError(f"model '{source.name}': its denoiser's config gives no square sample_size (got {size})")
    return size


def _denoiser_call(layout: str, config: Any, pixels: int) -> Callable[..., Tensor]:
    """How this family's network is called: (network, x_t channels first, time, tokens[, pooled]) -> output."""
    if layout == "transformer":
        return _call_transformer
    if config.get("addition_embed_type") == "text_time":
        return lambda network, noisy, time, tokens, pooled: _call_xl(network, noisy, time, tokens, pooled, pixels)
    return _call_unet


def _call_unet(network: nn.Module, noisy: Tensor, time: Tensor, tokens: Tensor, *_: Tensor) -> Tensor:
    return network(noisy, time, encoder_hidden_states=tokens, return_dict=False)[0]


def _call_xl(network: nn.Module, noisy: Tensor, time: Tensor, tokens: Tensor, pooled: Tensor, pixels: int) -> Tensor:
    # SD XL is told the picture's size, its crop and its target size in pixels: ours is whole, at the model's own size.
    size = noisy.new_full((len(noisy), 6), pixels)
    size[:, 2:4] = 0
    told = {"text_embeds": pooled, "time_ids": size}
    return network(noisy, time, encoder_hidden_states=tokens, added_cond_kwargs=told, return_dict=False)[0]


def _call_transformer(network: nn.Module, noisy: Tensor, time: Tensor, tokens: Tensor, pooled: Tensor) -> Tensor:
    return network(noisy, tokens, pooled, time, return_dict=False)[0]


def _check_fit(config: Any, channels: int, source: ModelSource) -> None:
    if config.in_channels != channels:
        raise UserError(
            f"model '{source.name}': its denoiser takes {config.in_channels} channels and its VAE gives {channels}. "
            "Inpainting and depth models do not fit; a text-to-image model does"
        )

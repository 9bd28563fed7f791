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

from core.types import Cameras
from guidance.autoencoder import Autoencoder
from guidance.camera_conditioning import CameraConditioning
from guidance.frozen import FrozenNetworks
from guidance.joined_views import join_views
from guidance.model_gate import check_model, denoiser_part, latent_size, size_step
from guidance.model_source import ModelSource
from guidance.noise_schedule import noise_from_output, picture_from_output, read_noise_schedule
from guidance.recorded import Recorded
from guidance.text_encoding import TextEmbedding, TextEncoder


class LatentDiffusion(FrozenNetworks):
    """A Stable-Diffusion-like model: SD 1.x and 2.x, XL and 3, told apart by the parts that its folder lists.

    Attributes:
        autoencoder: pictures to latents and back.
        latent_size: height and width that the denoiser was trained with, in latents.
        size_step: it takes pictures of multiples of this size.
        n_timesteps: length of the noise schedule.
        alpha, sigma: the noise schedule, least noise first.
    """

    alpha: Tensor
    sigma: Tensor
    network_time: Tensor

    def __init__(self, source: ModelSource, cameras: CameraConditioning | None = None) -> None:
        """Read the model's parts, its configs first.

        Args:
            cameras: what the denoiser is told of cameras, where it is.

        Raises:
            UserError: a part is missing or cannot be read, or the model does not fit.
        """
        check_model(source, cameras)
        layout = denoiser_part(source)
        denoiser = source.network(layout)
        text_encoder = TextEncoder(source, denoiser.config.joint_attention_dim if layout == "transformer" else None)
        super().__init__(denoiser, *text_encoder.networks)
        self.autoencoder = Autoencoder(source)
        self.latent_size, self.size_step = latent_size(source), size_step(source)
        self._text_encoder, self._cameras = text_encoder, cameras
        if cameras is not None:
            join_views(denoiser, cameras.n_together)
        call = _denoiser_call(layout, denoiser.config, self.latent_size * self.autoencoder.pixel_factor)
        self._call = partial(call, denoiser)
        self._recorded = Recorded(self._call)
        schedule = read_noise_schedule(source.config("scheduler", "scheduler_config.json"))
        self.family, self.n_timesteps = schedule.family, len(schedule)
        for name in ("alpha", "sigma", "network_time"):
            self.register_buffer(name, getattr(schedule, name), persistent=False)
        # Weights are often stored in float16, which the CPU computes slowly or not at all.
        self.use_precision(torch.float32)

    def use_precision(self, dtype: torch.dtype) -> None:
        """Hold the networks' weights in a dtype; the autoencoder's in float32 instead of bfloat16.

        bfloat16 has eight bits: enough for a score that is one of thousands, too few for the shades of a picture.
        """
        for network in self._networks:
            nn.Module.to(network, dtype)  # the libraries' own `to` warns of layers that none of these models has
        # Convolutions are a tenth faster with channels last in memory too.
        denoiser: Any = self._networks[0]
        denoiser.to(memory_format=torch.channels_last)
        self.autoencoder.use_precision(torch.float32 if dtype is torch.bfloat16 else dtype)
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
        cameras: Cameras | None = None,
    ) -> Float[Tensor, "views height width channels"]:
        """eps_hat, the noise that the model sees in x_t, in float32.

        Args:
            timestep: index into the noise schedule, 0 is the least noise.
            text: one embedding per view, made since the weights have their precision.
            cameras: of the views, or of the first of them where a batch holds the same ones several times; a model
                that knows cameras is told nothing of them without.
        """
        output = self._output(noisy, timestep, text, cameras)
        return noise_from_output(self.family, output, noisy, self.alpha[timestep], self.sigma[timestep])

    @torch.no_grad()
    def predict_picture(
        self,
        noisy: Float[Tensor, "views height width channels"],
        timestep: Int[Tensor, "views"],
        text: TextEmbedding,
        cameras: Cameras | None = None,
    ) -> Float[Tensor, "views height width channels"]:
        """z_hat, the latents that the model believes to be under the noise, in float32; arguments as above."""
        output = self._output(noisy, timestep, text, cameras)
        return picture_from_output(self.family, output, noisy, self.alpha[timestep], self.sigma[timestep])

    def _output(self, noisy: Tensor, timestep: Tensor, text: TextEmbedding, cameras: Cameras | None) -> Tensor:
        denoiser: Any = self._networks[0]
        seen = noisy.movedim(-1, 1)
        told = (text.tokens,) if text.pooled is None else (text.tokens, text.pooled)
        if self._cameras is not None:
            rays, poses = self._told(self._cameras, cameras, noisy)
            seen = seen if rays is None else torch.cat([seen, rays], dim=1)
            told = told if poses is None else (*told, poses.to(denoiser.dtype))
        call = self._recorded if noisy.is_cuda else self._call
        # The weights have a precision of their own, whatever that of the training.
        with torch.autocast(noisy.device.type, enabled=False):
            output = call(seen.to(denoiser.dtype), self.network_time[timestep], *told)
        return output.movedim(1, -1)

    def _told(
        self, conditioning: CameraConditioning, cameras: Cameras | None, noisy: Tensor
    ) -> tuple[Tensor | None, Tensor | None]:
        """Ray maps and poses for a batch."""
        size = noisy.shape[1]
        if cameras is None:
            told = conditioning.untold(len(noisy), size, noisy.device)
        else:
            told = conditioning.tell(cameras, size).repeated(len(noisy) // len(cameras))
        return told.rays, told.poses


def _denoiser_call(layout: str, config: Any, pixels: int) -> Callable[..., Tensor]:
    """How this family's network is called: (network, x_t channels first, time, tokens[, pooled or poses]) -> output."""
    if layout == "transformer":
        return _call_transformer
    if config.get("addition_embed_type") == "text_time":
        return lambda network, noisy, time, tokens, pooled: _call_xl(network, noisy, time, tokens, pooled, pixels)
    return _call_unet if config.get("class_embed_type") is None else _call_posed


def _call_unet(network: nn.Module, noisy: Tensor, time: Tensor, tokens: Tensor, *_: Tensor) -> Tensor:
    return network(noisy, time, encoder_hidden_states=tokens, return_dict=False)[0]


def _call_posed(network: nn.Module, noisy: Tensor, time: Tensor, tokens: Tensor, poses: Tensor) -> Tensor:
    return network(noisy, time, encoder_hidden_states=tokens, class_labels=poses, return_dict=False)[0]


def _call_xl(network: nn.Module, noisy: Tensor, time: Tensor, tokens: Tensor, pooled: Tensor, pixels: int) -> Tensor:
    # SD XL is told the picture's size, its crop and its target size in pixels: ours is whole, at the model's own size.
    size = noisy.new_full((len(noisy), 6), pixels)
    size[:, 2:4] = 0
    told = {"text_embeds": pooled, "time_ids": size}
    return network(noisy, time, encoder_hidden_states=tokens, added_cond_kwargs=told, return_dict=False)[0]


def _call_transformer(network: nn.Module, noisy: Tensor, time: Tensor, tokens: Tensor, pooled: Tensor) -> Tensor:
    return network(noisy, tokens, pooled, time, return_dict=False)[0]

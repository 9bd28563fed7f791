"""The autoencoder of a latent diffusion model: pictures to normalised latents and back.

Pictures and latents are channels last outside of this module and channels first only inside. Latents are the
*normalised* ones that the denoiser works on:

    z = scaling_factor (E(x) - shift_factor)                     or, where the VAE has latents_mean and latents_std,
    z = scaling_factor (E(x) - latents_mean) / latents_std
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.errors import UserError
from core.memory import recomputed, with_less_at_once
from guidance.frozen import FrozenNetworks
from guidance.model_source import ModelSource

#: Pictures that go through the VAE at once: bounds its memory at 512 x 512.
BATCH = 8
#: Mean and deviation of raw latents, each of shape (channels), from an autoencoder's config.
Statistics = Callable[[Mapping[str, Any]], tuple[Tensor, Tensor]]


def latent_statistics(config: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
    """Mean and deviation with z = (E(x) - mean) / deviation, both of shape (channels)."""
    channels = int(config["latent_channels"])
    mean = config.get("latents_mean") or [config.get("shift_factor") or 0.0] * channels
    std = config.get("latents_std") or [1.0] * channels
    return torch.tensor(mean).float(), torch.tensor(std).float() / float(config.get("scaling_factor") or 1.0)


def pixel_factor(config: Mapping[str, Any]) -> int:
    """Pixels per latent along each side, from an autoencoder's config: each block but the last halves a picture."""
    return int(2 ** (len(config.get("encoder_block_out_channels") or config["block_out_channels"]) - 1))


class Autoencoder(FrozenNetworks):
    """A frozen VAE, in memory from the first picture on; factors, channels and sizes are read from its config.

    Attributes:
        n_channels: channels of a latent picture.
        pixel_factor: pixels per latent, along each side.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, source: ModelSource, statistics: Statistics = latent_statistics) -> None:
        """Read the config.

        Args:
            statistics: how the model's family normalises latents.
        """
        super().__init__()
        self._source, config = source, source.full_config("vae")
        self.n_channels = int(config["latent_channels"])
        self.pixel_factor = pixel_factor(config)
        mean, std = statistics(config)
        fit = all(each.isfinite().all() and each.numel() in (1, self.n_channels) for each in (mean, std, 1 / std))
        if self.n_channels < 1 or self.pixel_factor < 1 or not fit:
            raise UserError(
                f"model '{source.name}': its VAE's config gives no latents: {self.n_channels} channels, "
                f"1/{self.pixel_factor} of a picture's size, mean {mean.tolist()}, deviation {std.tolist()}"
            )
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)
        self._overflows = bool(config.get("force_upcast", False))
        self._dtype = torch.float32
        self.takes_less = False
        """Whether memory is so short that pictures are encoded, and latents denoised, one by one."""

    def use_precision(self, dtype: torch.dtype) -> None:
        """Hold the weights in a dtype; a VAE that overflows in half precision (SD XL) stays in float32."""
        self._dtype = torch.float32 if self._overflows else dtype
        for network in self._networks:
            nn.Module.to(network, self._dtype)  # the library's own `to` warns of layers that no VAE has

    @property
    def network(self) -> Any:
        """The VAE, read when it is first asked for.

        Raises:
            UserError: its weights cannot be read, or are not all there.
        """
        if not self._networks:
            self.hold(nn.Module.to(self._source.network("vae", self._dtype), self.mean.device))
        return self._networks[0]

    def encode(self, rgb: Float[Tensor, "views rows columns 3"]) -> Float[Tensor, "views height width channels"]:
        """Pictures in [0, 1] to normalised latents: the mean of the encoder's distribution, with gradient."""
        if self.takes_less and torch.is_grad_enabled():
            return torch.cat(recomputed(self._encode, rgb, at_once=1))
        return with_less_at_once(lambda n: torch.cat([self._encode(batch) for batch in rgb.split(n)]), BATCH)

    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Normalised latents to pictures, clamped to [0, 1]."""
        return with_less_at_once(lambda n: torch.cat([self._decode(batch) for batch in latents.split(n)]), BATCH)

    def _encode(self, rgb: Tensor) -> Tensor:
        network = self.network
        with torch.autocast(rgb.device.type, enabled=False):
            encoded = network.encode((2 * rgb - 1).movedim(-1, 1).to(network.dtype))
        # AutoencoderTiny gives latents, AutoencoderKL their distribution.
        latents = encoded.latents if "latents" in encoded else encoded.latent_dist.mode()
        return (latents.float().movedim(1, -1) - self.mean) / self.std

    def _decode(self, latents: Tensor) -> Tensor:
        network = self.network
        with torch.autocast(latents.device.type, enabled=False):
            raw = latents.float() * self.std + self.mean
            decoded = network.decode(raw.movedim(-1, 1).to(network.dtype), return_dict=False)[0]
        return ((decoded.float().movedim(1, -1) + 1) / 2).clamp(0, 1)

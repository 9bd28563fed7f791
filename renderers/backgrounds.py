"""Backgrounds: `directional` learns one, `random-color` and `solid` show flat colours that the VAE has encoded.

A flat picture's latents are not flat: a VAE answers differently at the border, where its convolutions see padding. So
a flat colour is kept as the *whole latent map* of its picture, and the same holds for what the diffusion model
expects to see.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from core.chance import integers
from core.errors import UserError, first_misfit, require
from core.kinds import Background, Encode
from core.memory import SAMPLE, require_size
from core.types import LinearColour

Color = tuple[float, float, float]

# Where neither the recipe nor the model names colours: greys and faint hues, from dark to light.
PLAIN_COLORS: tuple[Color, ...] = (
    (1.0, 1.0, 1.0),
    (0.75, 0.75, 0.75),
    (0.5, 0.5, 0.5),
    (0.25, 0.25, 0.25),
    (0.85, 0.75, 0.7),
    (0.7, 0.85, 0.75),
    (0.7, 0.75, 0.9),
)


def frequency_encoding(directions: Float[Tensor, "*batch 3"], n_frequencies: int) -> Float[Tensor, "*batch channels"]:
    """The directions themselves and sin, cos of 2^k times them, k from 0: `channels` = 3 + 6 x n_frequencies.

    Source: NeRF (arXiv:2003.08934), eq. 4, without its factor pi, as in its code.
    """
    scaled = directions[..., None, :] * 2.0 ** torch.arange(n_frequencies, device=directions.device)[:, None]
    waves = torch.cat([scaled.sin(), scaled.cos()], dim=-1)
    return torch.cat([directions, waves.flatten(-2)], dim=-1)


class DirectionalBackground(Background, name="directional"):
    """A weak MLP on the viewing direction; it learns with the object."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the directional background."""

        n_frequencies: int = 4
        """Octaves of the encoding; more of them let the background draw objects of its own."""
        hidden_width: int = 32
        """Neurons of the hidden layer."""
        learning_rate: float = 1e-3
        """Adam's rate."""

        def __post_init__(self) -> None:
            require(0 <= self.n_frequencies <= 16, f"n_frequencies: from 0 to 16, got {self.n_frequencies}")
            require_size("hidden_width", self.hidden_width, self.hidden_width * 1024 * SAMPLE)
            require(self.learning_rate > 0, f"learning_rate: above 0, got {self.learning_rate}")

    def __init__(self, config: Config, n_channels: int) -> None:
        super().__init__()
        self.config = config
        n_inputs = 3 + 6 * config.n_frequencies
        self.mlp = nn.Sequential(
            nn.Linear(n_inputs, config.hidden_width), nn.ReLU(), nn.Linear(config.hidden_width, n_channels)
        )

    def forward(
        self, directions: Float[Tensor, "views height width 3"], rng: Generator
    ) -> Float[Tensor, "views height width channels"]:
        """What lies behind each ray; nothing is drawn."""
        return self.mlp(frequency_encoding(directions, self.config.n_frequencies)).to(directions.dtype)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group, with its own learning rate."""
        return [{"params": list(self.parameters()), "lr": self.config.learning_rate}]

    @torch.no_grad()
    def start_from(self, other: Background, colour: LinearColour | None = None) -> None:
        """Begin with another one's network; its last layer takes the colours' in: rgb = (M z + b + 1) / 2.

        Raises:
            UserError: a network of another size.
        """
        if not isinstance(other, DirectionalBackground):
            return  # a flat background has learnt nothing that one could begin with
        state = other.mlp.state_dict()
        if colour is not None:
            matrix, bias = colour.matrix.to(state["2.weight"]), colour.bias.to(state["2.weight"])
            state["2.weight"] = matrix @ state["2.weight"] / 2
            state["2.bias"] = (matrix @ state["2.bias"] + bias + 1) / 2
        try:
            self.mlp.load_state_dict(state)
        except RuntimeError as error:
            misfit = first_misfit(error)
            raise UserError(f"--from: the run does not fit {self.recipe_path} of this recipe: {misfit}") from error


class FlatBackground(Background):
    """Flat colours as encoded pictures, kept as latent maps with the checkpoint."""

    bank: Float[Tensor, "colours rows columns channels"]

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.register_buffer("bank", torch.empty(0, 0, 0, n_channels))
        self._further: dict[int, Tensor] = {}  # by height and width: as encoded for pictures of other sizes

    @abstractmethod
    def palette(self, known: Float[Tensor, "known 3"] | None = None) -> Float[Tensor, "colours 3"]:
        """The RGB colours to encode, in [0, 1].

        Args:
            known: those that the diffusion model was trained with, where it says so.
        """

    @torch.no_grad()
    def encode_colours(
        self,
        encode: Encode,
        picture_size: int,
        known: Float[Tensor, "known 3"] | None,
        device: torch.device,
        further_sizes: Sequence[int] = (),
    ) -> None:
        """Encode a flat picture of each colour of the palette, in every size."""
        colours = self.palette(known).to(device)[:, None, None]
        self.set_bank(encode(colours.expand(-1, picture_size, picture_size, -1)))
        further = [encode(colours.expand(-1, size, size, -1)) for size in further_sizes]
        self._further = {len(latent_maps[0]): latent_maps for latent_maps in further}

    def set_bank(self, latent_maps: Float[Tensor, "colours rows columns channels"]) -> None:
        """Take the encoded pictures, one per colour; they are kept with the checkpoint."""
        if len(latent_maps) == 0 or latent_maps.shape[-1] != self.bank.shape[-1]:
            wanted = f"(at least 1, rows, columns, {self.bank.shape[-1]})"
            raise ValueError(f"latent maps: expected {wanted}, got {tuple(latent_maps.shape)}")
        self.bank = latent_maps.detach().to(self.bank.device).clone()

    def maps_at(self, index: Tensor, height: int, width: int) -> Float[Tensor, "views height width channels"]:
        """The chosen latent maps, interpolated where pictures have a size that nothing was encoded for."""
        if len(self.bank) == 0:
            raise RuntimeError(f"background '{self.part_name}' has no colours yet: call encode_colours() or set_bank()")
        bank = self._further.get(height, self.bank)
        maps = bank[index.to(bank.device)]
        if maps.shape[1:3] == (height, width):
            return maps
        resized = F.interpolate(maps.movedim(-1, 1), (height, width), mode="bilinear", align_corners=False)
        return resized.movedim(1, -1)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        # A saved bank may hold another number of colours, or maps of another size, than what was there before.
        if (saved := state_dict.get(f"{prefix}bank")) is not None:
            self.bank = self.bank.new_empty(saved.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class RandomColor(FlatBackground, name="random-color"):
    """A flat colour, drawn anew each step: an object cannot melt into what it cannot know."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the random-color background."""

        colors: tuple[Color, ...] = ()
        """RGB in [0, 1]; none: those that the diffusion model was trained with, else greys and faint hues."""
        preview: int = 0
        """Which of them is shown in validation, counted from 0."""

        def __post_init__(self) -> None:
            for color in self.colors:
                _check_color("colors", color)
            require(self.preview >= 0, f"preview: at least 0, got {self.preview}")

    def __init__(self, config: Config, n_channels: int) -> None:
        super().__init__(n_channels)
        self.config = config

    def palette(self, known: Float[Tensor, "known 3"] | None = None) -> Float[Tensor, "colours 3"]:
        """The recipe's colours, else the model's, else a plain choice."""
        if self.config.colors or known is None or len(known) == 0:
            return torch.tensor(self.config.colors or PLAIN_COLORS)
        return known

    def forward(
        self, directions: Float[Tensor, "views height width 3"], rng: Generator
    ) -> Float[Tensor, "views height width channels"]:
        """In training one colour for the views of an object, drawn from `rng`; in evaluation always the preview's."""
        n_views, height, width, _ = directions.shape
        if self.training:
            index = integers(rng, max(len(self.bank), 1), n_views // self.n_together)
            index = index.repeat_interleave(self.n_together)
        else:
            index = torch.full((n_views,), min(self.config.preview, max(len(self.bank) - 1, 0)))
        return self.maps_at(index, height, width)


class SolidColor(FlatBackground, name="solid"):
    """One flat colour behind every view."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the solid background."""

        color: Color = (1.0, 1.0, 1.0)
        """RGB in [0, 1]."""

        def __post_init__(self) -> None:
            _check_color("color", self.color)

    def __init__(self, config: Config, n_channels: int) -> None:
        super().__init__(n_channels)
        self.config = config

    def palette(self, known: Float[Tensor, "known 3"] | None = None) -> Float[Tensor, "colours 3"]:
        """The one colour of the recipe."""
        return torch.tensor([self.config.color])

    def forward(
        self, directions: Float[Tensor, "views height width 3"], rng: Generator
    ) -> Float[Tensor, "views height width channels"]:
        """The same colour for all views; nothing is drawn."""
        n_views, height, width, _ = directions.shape
        return self.maps_at(torch.zeros(n_views, dtype=torch.int64), height, width)


class NoBackground(Background):
    """0 behind everything."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        self.n_channels = n_channels

    def forward(
        self, directions: Float[Tensor, "views height width 3"], rng: Generator
    ) -> Float[Tensor, "views height width channels"]:
        """0 behind every ray; nothing is drawn."""
        return directions.new_zeros(*directions.shape[:-1], self.n_channels)


def _check_color(setting: str, color: Color) -> None:
    require(
        len(color) == 3 and all(0 <= channel <= 1 for channel in color),
        f"{setting}: red, green and blue from 0 to 1, got {tuple(color)}",
    )

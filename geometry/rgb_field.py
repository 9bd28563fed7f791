"""`rgb-field`: a field of latents seen as colours, through a linear layer that learns.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from core.errors import UserError, require
from core.kinds import DensityField, Geometry
from core.part import Choice
from core.types import FieldOutput, LinearColour


class RGBField(DensityField, name="rgb-field"):
    """The density of a field of latents, and colours rgb = (M z + b + 1) / 2 of its latents."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the RGB field."""

        MOVED: ClassVar[Mapping[str, str]] = {"of": "inner"}

        inner: Choice[DensityField]
        """The field of latents, as the run that is continued has it."""
        n_latents: int = 4
        """Channels of its latents."""
        learning_rate: float = 1e-3
        """Adam's rate for M and b."""

        def __post_init__(self) -> None:
            require(self.n_latents >= 1, f"n_latents: at least 1, got {self.n_latents}")
            require(self.learning_rate > 0, f"learning_rate: above 0, got {self.learning_rate}")

    def __init__(self, config: Config, n_channels: int) -> None:
        """Build the field and the layer.

        Raises:
            UserError: something else than colours is asked of it.
        """
        super().__init__()
        if n_channels != 3:
            raise UserError(
                f"{self.setting('type')}: 'rgb-field' shows colours, and guidance wants {n_channels} channels; "
                "its guidance is 'rgb'"
            )
        self.config = config
        self.n_channels = n_channels
        self.inner = config.inner.build(config.n_latents)
        self.bound = self.inner.bound
        self.colour = nn.Linear(config.n_latents, 3)

    def forward(self, positions: Float[Tensor, "points 3"]) -> FieldOutput:
        """Density and colour; colours are not clamped."""
        seen = self.inner(positions)
        return FieldOutput(seen.density, (self.colour(seen.features).to(positions.dtype) + 1) / 2)

    def density(self, positions: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """The field's own."""
        return self.inner.density(positions)

    def start_from(self, other: Geometry, colour: LinearColour | None = None) -> None:
        """Begin with another field of colours, or with a field of latents and the layer that turns them into colours.

        Raises:
            UserError: a field with other settings, or latents of another number.
        """
        if colour is None:
            super().start_from(other)
            return
        if type(other) is type(self.inner) and other.n_channels != self.config.n_latents:
            raise UserError(
                f"--from: the run does not fit {self.recipe_path} of this recipe: its latents have {other.n_channels} "
                f"channels, not {self.config.n_latents}; give {self.setting('n_latents')}={other.n_channels}"
            )
        self.inner.start_from(other)
        self.set_colour(colour.matrix, colour.bias)

    @torch.no_grad()
    def set_colour(self, matrix: Float[Tensor, "3 latents"], bias: Float[Tensor, "3"]) -> None:
        """Start the layer from M and b."""
        self.colour.weight.copy_(matrix)
        self.colour.bias.copy_(bias)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The field's own groups, and the layer."""
        layer = {"params": list(self.colour.parameters()), "lr": self.config.learning_rate}
        return [*self.inner.parameter_groups(), layer]

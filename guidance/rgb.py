"""`rgb`: guidance of latents, applied to pictures: they are encoded with gradient, which flows back to them.

To whoever trains with it, latents are RGB: three channels at the size of pictures, from 0 to 1. So a field or a texture
of colours is refined by the same systems that made it as latents.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.3.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Generator, Tensor

from core.kinds import Guidance
from core.part import Choice
from core.types import Cameras, GuidanceOutput, RenderOutput


class RGBGuidance(Guidance, name="rgb"):
    """Guidance of latents on pictures, through the encoder."""

    decodes_pixelwise = True

    @dataclass(frozen=True)
    class Config:
        """Settings of guidance on pictures."""

        MOVED: ClassVar[Mapping[str, str]] = {"of": "inner"}

        inner: Choice[Guidance]
        """The guidance of latents that pictures are encoded for."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.inner = config.inner.build()
        self.trained_on, self.view_needs = self.inner.trained_on, self.inner.view_needs
        self.term_names = self.inner.term_names
        if self.inner.size_step is not None:
            self.size_step = self.inner.size_step * self.inner.picture_size // self.inner.latent_size

    @property
    def latent_guidance(self) -> Guidance:
        """The one that pictures are encoded for."""
        return self.inner

    @property
    def latent_channels(self) -> int:
        """Red, green and blue."""
        return 3

    @property
    def latent_size(self) -> int:
        """Height and width of a picture, in pixels."""
        return self.inner.picture_size

    @property
    def picture_size(self) -> int:
        """Height and width of a picture, in pixels."""
        return self.inner.picture_size

    def prepare(self, prompt: str) -> None:
        """Hand the prompt on."""
        self.inner.prepare(prompt)

    def forward(
        self, render: RenderOutput, cameras: Cameras, step: int, total_steps: int, rng: Generator
    ) -> GuidanceOutput:
        """The loss of the encoded pictures. Nothing is clamped on the way: a clamp would stop the gradient."""
        seen = render.with_latents(self.inner.encode(render.latents))
        _, height, width, _ = seen.latents.shape
        return self.inner(seen, cameras.resized(height, width), step, total_steps, rng)

    def take_less_memory(self) -> bool:
        """The model behind it sees fewer views at once."""
        return self.inner.take_less_memory()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The inner guidance's own."""
        return self.inner.parameter_groups()

    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Colours as they can be shown: within [0, 1]."""
        return latents.clamp(0, 1)

    def encode(self, rgb: Float[Tensor, "views rows columns 3"]) -> Float[Tensor, "views height width channels"]:
        """Pictures are what is trained here; they stay as they are."""
        return rgb

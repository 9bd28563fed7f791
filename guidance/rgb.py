"""`rgb`: guidance of latents, applied to pictures: they are encoded with gradient, which flows back to them.

To whoever trains with it, latents are RGB: three channels at the size of pictures, from 0 to 1; to decode is to look.
So a field or a texture of colours is refined by the same systems that made it as latents.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.3.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Generator, Tensor

from core.kinds import Guidance
from core.part import Choice
from core.types import Cameras, GuidanceOutput


class RGBGuidance(Guidance, name="rgb"):
    """Guidance of latents on pictures, through the encoder."""

    @dataclass(frozen=True)
    class Config:
        """Settings of guidance on pictures."""

        of: Choice[Guidance]
        """The guidance of latents that pictures are encoded for."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.of = config.of.build()
        self.world = self.of.world
        self.decodes_points = True
        if self.of.known_cameras is not None:
            self.known_cameras = self.of.known_cameras.resized(self.latent_size, self.latent_size)

    @property
    def latent_channels(self) -> int:
        """Red, green and blue."""
        return 3

    @property
    def latent_size(self) -> int:
        """Height and width of a picture, in pixels."""
        return self.of.picture_size

    @property
    def picture_size(self) -> int:
        """The same."""
        return self.of.picture_size

    def prepare(self, prompt: str) -> None:
        """Hand the prompt on."""
        self.of.prepare(prompt)

    def forward(
        self,
        latents: Float[Tensor, "views height width channels"],
        cameras: Cameras,
        step: int,
        total_steps: int,
        rng: Generator,
    ) -> GuidanceOutput:
        """The loss of the encoded pictures. Nothing is clamped on the way: a clamp would stop the gradient."""
        encoded = self.of.encode(latents)
        _, height, width, _ = encoded.shape
        return self.of(encoded, cameras.resized(height, width), step, total_steps, rng)

    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Colours as they can be shown: within [0, 1]."""
        return latents.clamp(0, 1)

    def encode(self, rgb: Float[Tensor, "views rows columns 3"]) -> Float[Tensor, "views height width channels"]:
        """Pictures are what is trained here; they stay as they are."""
        return rgb

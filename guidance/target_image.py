"""`target-image`: the exact score of known pictures.

For a "model" that believes in a single picture z* per camera, the best denoiser is known in closed form:

    eps_hat = (x_t - alpha z*) / sigma      so that      g = w(t) (eps_hat - eps) = w(t) alpha / sigma (z - z*)

and the drawn noise cancels. Trained with it, field and renderer are on trial without a network: what they reach is the
ceiling for any guidance.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Generator, Tensor
from torch.nn import functional as F

from core.errors import UserError, require
from core.kinds import Guidance, device_of
from core.memory import SAMPLE, require_size
from core.paths import FolderOrName
from core.schedule import Schedule
from core.types import Cameras, GuidanceOutput, RenderOutput, ViewNeeds
from guidance.autoencoder import Autoencoder
from guidance.model_gate import latent_size
from guidance.model_source import find_model
from guidance.posed_pictures import PosedPictures, read_posed_pictures
from guidance.sds import WEIGHTINGS, Weighting, sds_gradient, sds_loss
from guidance.training_distribution import read_training_distribution

#: Latents that should be seen from the given cameras: (views height width channels), in the cameras' picture size.
Target = Callable[[Cameras], Tensor]
GREY = 0.5  # what is put behind transparent pictures to encode them


@dataclass(frozen=True)
class Clear:
    """Where transparent pictures show what is behind the object."""

    latents: Tensor
    """Of what was behind it when they were encoded: (1 height width channels)."""
    share: Target
    """What part of each latent pixel is clear: (views height width 1)."""


class TargetImage(Guidance, name="target-image"):
    """Pulls every view toward a known picture; for tests, and as the ceiling of benchmarks."""

    @dataclass(frozen=True)
    class Config:
        folder: Path | None = None
        """Pictures and their cameras (guidance/posed_pictures.py), from which `views: {type: posed-pictures}` draws.
        Code may give a function to `set_target` instead."""
        model: FolderOrName | None = None
        """Whose autoencoder makes the latents; null: latents are RGB itself, scaled to [-1, 1]."""
        size: int = 32
        """Height and width of the latents, where no model says it."""
        weighting: Weighting = "sigma2"
        """w(t), as of `latent-sds`."""
        noise: Schedule = field(default_factory=lambda: Schedule.constant(0.5))
        """sigma at which the score is computed, strictly between 0 and 1; alpha = sqrt(1 - sigma^2)."""

        def __post_init__(self) -> None:
            require_size("size", self.size, self.size**2 * SAMPLE)
            values = self.noise.values
            require(all(0 < value < 1 for value in values), f"noise: between 0 and 1, got {values}")

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        source = find_model(config.model, self.setting("model")) if config.model else None
        self.autoencoder = Autoencoder(source) if source else None
        self.trained_on = read_training_distribution(source.folder) if source else None
        self._size = latent_size(source) if source else config.size
        self.decodes_pixelwise = self.autoencoder is None
        self._target: Target | None = None
        self._clear: Clear | None = None
        self._views = read_posed_pictures(config.folder) if config.folder else None
        if self._views is None:
            self.size_step = 1  # a function of the cameras follows their size; encoded pictures have one of their own
        else:
            self.view_needs = ViewNeeds(cameras=self._views.cameras)

    @property
    def latent_channels(self) -> int:
        """Channels of a latent picture."""
        return self.autoencoder.n_channels if self.autoencoder else 3

    @property
    def latent_size(self) -> int:
        """Height and width of a latent picture."""
        return self._size

    @property
    def picture_size(self) -> int:
        """Height and width of the pictures that such latents decode to, in pixels."""
        return self._size * (self.autoencoder.pixel_factor if self.autoencoder else 1)

    def set_target(self, target: Target) -> None:
        """Give the pictures as a function of the cameras."""
        self._target = target

    def prepare(self, prompt: str) -> None:
        """Encode the folder's pictures, once. The prompt is not needed: the pictures are known.

        Raises:
            UserError: there is neither a folder nor a target.
        """
        if self._target is None and self._views is not None:
            self._target, self._clear = self._encode_views(self._views)
        if self._target is None:
            raise UserError(
                f"{self.setting('folder')}: target-image needs a folder of pictures, or set_target() in code"
            )

    def forward(
        self,
        render: RenderOutput,
        cameras: Cameras,
        step: int,
        total_steps: int,
        rng: Generator,
    ) -> GuidanceOutput:
        """The exact loss; `rng` is left alone, since the noise cancels.

        Raises:
            RuntimeError: before `prepare`.
        """
        latents = render.latents
        if self._target is None:
            raise RuntimeError("call prepare(prompt) before the first step")
        with torch.no_grad():
            target = self._target(cameras).to(latents.device)
            behind = render.background
            if self._clear is not None and behind is not None and behind.shape == target.shape:
                target = target + self._clear.share(cameras) * (behind - self._clear.latents)
            sigma = torch.full((len(latents),), self.config.noise.at(step, total_steps), device=latents.device)
            alpha = (1 - sigma**2).sqrt()
            weight = WEIGHTINGS[self.config.weighting](alpha, sigma) * alpha / sigma
            gradient = sds_gradient(latents.detach(), target, weight)
            error = (latents.detach().float() - target).square().mean()
        return GuidanceOutput(sds_loss(latents, gradient), {"target_mse": error})

    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Latents to pictures, RGB in [0, 1]."""
        return self.autoencoder.decode(latents) if self.autoencoder else ((latents + 1) / 2).clamp(0, 1)

    def encode(self, rgb: Float[Tensor, "views rows columns 3"]) -> Float[Tensor, "views height width channels"]:
        """Pictures, RGB in [0, 1], to latents."""
        return self.autoencoder.encode(rgb) if self.autoencoder else 2 * rgb - 1

    @torch.no_grad()
    def _encode_views(self, views: PosedPictures) -> tuple[Target, Clear | None]:
        rgb, opacity = views.pictures(self.picture_size).to(device_of(self)).split([3, 1], dim=-1)
        latents = self.encode(rgb * opacity + GREY * (1 - opacity))

        def target(cameras: Cameras) -> Tensor:
            return latents[views.index_of(cameras).to(latents.device)]

        if bool((opacity == 1).all()):
            return target, None
        grey = self.encode(torch.full_like(rgb[:1], GREY))
        share = 1 - F.adaptive_avg_pool2d(opacity.movedim(-1, 1), (latents.shape[1], latents.shape[2])).movedim(1, -1)
        return target, Clear(grey, lambda cameras: share[views.index_of(cameras).to(share.device)])

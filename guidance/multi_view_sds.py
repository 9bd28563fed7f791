"""`multi-view-sds`: score distillation from a denoiser that is told its cameras and sees several views together.

Views of an object share timestep, text and background; both texts are asked about with the same cameras. Two losses:

    sds             g = w(t) (eps_hat - eps)                 as of `latent-sds`
    reconstruction  g = w(t) (z - z_hat)                     z_hat guided, its contrast rescaled

Published settings of the second: w(t) uniform, s = 50, phi = 0.5.

Source: MVDream (arXiv:2308.16512), sections 3.1 and 3.4.
"""

from dataclasses import dataclass
from typing import Literal

from torch import Generator

from core.errors import UserError, require
from core.types import Cameras, GuidanceOutput, RenderOutput, ViewNeeds
from guidance.camera_conditioning import FILE_NAME, read_camera_conditioning
from guidance.latent_diffusion import LatentDiffusion
from guidance.latent_sds import LatentSDS
from guidance.model_source import ModelSource
from guidance.sds import guided_noise, per_pixel, rescaled_picture

#: Below this, a share of the picture in x_t is none: dividing by it gives a number without meaning.
LEAST_ALPHA = 1e-4


class MultiViewSDS(LatentSDS, name="multi-view-sds", replaces=["loud-view-sds"]):
    """Score distillation by a denoiser that knows the cameras; `cameras.json` of its folder says how it is told."""

    @dataclass(frozen=True)
    class Config(LatentSDS.Config):
        """Settings of score distillation with known cameras."""

        view_dependent: bool = False
        """Whether ", front view" and the like is appended to the prompt: the cameras say it better."""
        loss: Literal["sds", "reconstruction"] = "sds"
        """`sds` moves latents against the noise that the denoiser sees in them, `reconstruction` towards the picture
        that it believes in; the published settings of the latter are weighting: uniform, guidance_scale: 50 and
        guidance_rescale: 0.5."""

        def __post_init__(self) -> None:
            super().__post_init__()
            plain = self.score == "sds" and self.noise == "fresh" and not self.asks_negative
            require(plain or self.loss == "sds", "loss: reconstruction knows no other score, noise or negative_scale")

    config: Config

    def read_model(self, source: ModelSource) -> LatentDiffusion:
        """The model, and what its folder says of cameras.

        Raises:
            UserError: it says nothing, or it has no picture in mind where a recipe asks for one.
        """
        conditioning = read_camera_conditioning(source.folder)
        if conditioning is None:
            raise UserError(
                f"{self.setting('model')}: '{source.name}' says nothing of cameras (a folder with {FILE_NAME} does); "
                "for a model that knows none say {type: latent-sds}"
            )
        self.view_needs = ViewNeeds(n_together=conditioning.n_together)
        model = self.config.read(source, self.setting, conditioning)
        if (
            self.config.loss == "reconstruction"
            and model.family == "epsilon"
            and float(model.alpha.min()) < LEAST_ALPHA
        ):
            raise UserError(
                f"{self.setting('loss')}: '{source.name}' predicts noise, and its noise schedule ends in noise alone, "
                "where that says nothing of a picture; use loss: sds"
            )
        return model

    def forward(
        self, render: RenderOutput, cameras: Cameras, step: int, total_steps: int, rng: Generator
    ) -> GuidanceOutput:
        """The recipe's loss of rendered latents, views of an object one after the other.

        Raises:
            RuntimeError: before `prepare`.
        """
        if self.config.loss == "sds":
            return super().forward(render, cameras, step, total_steps, rng)
        noisy = self.draw_noise(render.latents, step, total_steps, rng)
        asked = [self.unconditional(cameras), self.told_views(cameras)]
        unconditional, conditional = self.answers(noisy, cameras, asked, as_pictures=True)
        # Both predictions are the same affine function of eps_hat, so that guidance works on pictures as on noise.
        wanted = guided_noise(unconditional, conditional, self.config.guidance_scale.at(step, total_steps))
        share = self.config.guidance_rescale.at(step, total_steps)
        wanted = rescaled_picture(wanted, conditional, share, self.view_needs.n_together)
        weight = per_pixel(self.timestep_weight[noisy.timestep])
        gradient = weight * (render.latents.detach().float() - wanted)
        return self.output(render.latents, noisy, gradient, step, total_steps)

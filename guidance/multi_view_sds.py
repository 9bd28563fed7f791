"""`multi-view-sds`: score distillation from a denoiser that is told its cameras and sees several views together.

Views of an object share timestep, text and background; both texts are asked about with the same cameras. Two losses:

    sds             g = w(t) (eps_hat - eps)                 as of `latent-sds`
    reconstruction  g = w(t) (z - z_hat)                     z_hat guided, its contrast rescaled

z_hat is what the denoiser makes of x_t in `denoising_steps` of DDIM, and `fits` training steps in a row follow it.

Published settings of the second: w(t) uniform, s = 50, phi = 0.5, one denoising step and one fit for MVDream
(arXiv:2308.16512), sections 3.1 and 3.4; several of both for MicroDreamer's score-based iterative reconstruction
(arXiv:2404.19525), section 3.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from core.errors import UserError, require
from core.paths import FolderOrName
from core.types import Cameras, GuidanceOutput, RenderOutput, ViewNeeds
from guidance.camera_conditioning import FILE_NAME, read_camera_conditioning
from guidance.latent_diffusion import LatentDiffusion
from guidance.latent_sds import LatentSDS
from guidance.model_source import ModelSource
from guidance.scores import NoisyLatents, later
from guidance.sds import guided_noise, per_pixel, rescaled_picture

#: Below this, a share of the picture in x_t is none: dividing by it gives a number without meaning.
LEAST_ALPHA = 1e-4
#: What is kept of a picture that several training steps follow.
PICTURE = ("wanted", "wanted_at", "wanted_from")


class MultiViewSDS(LatentSDS, name="multi-view-sds", replaces=["loud-view-sds"]):
    """Score distillation by a denoiser that knows the cameras; `cameras.json` of its folder says how it is told."""

    @dataclass(frozen=True)
    class Config(LatentSDS.Config):
        """Settings of score distillation with known cameras."""

        model: FolderOrName
        """`toybox-multiview`, or a folder in the diffusers layout with a cameras.json (`./mine` beside the recipe)."""
        view_dependent: bool = False
        """Whether ", front view" and the like is appended to the prompt: the cameras say it better."""
        loss: Literal["sds", "reconstruction"] = "sds"
        """`sds` moves latents against the noise that the denoiser sees in them, `reconstruction` towards the picture
        that it believes in; the published settings of the latter are weighting: uniform, guidance_scale: 50 and
        guidance_rescale: 0.5."""
        denoising_steps: int = 1
        """For `reconstruction`: calls of the denoiser by which noisy latents become the picture."""
        fits: int = 1
        """For `reconstruction`: consecutive training steps that share one target picture and its cameras."""

        def __post_init__(self) -> None:
            super().__post_init__()
            plain = self.score == "sds" and self.noise == "fresh" and not self.asks_negative
            require(plain or self.loss == "sds", "loss: reconstruction knows no other score, noise or negative_scale")
            for name in ("denoising_steps", "fits"):
                number = getattr(self, name)
                require(1 <= number <= 1000, f"{name}: from 1 to 1000, got {number}")
                require(number == 1 or self.loss == "reconstruction", f"{name}: more than 1 needs loss: reconstruction")

    config: Config
    wanted: Tensor
    """z_hat of the last denoising, (views height width channels); kept with checkpoints."""
    wanted_at: Tensor
    """The timesteps that it was denoised from, (views)."""
    wanted_from: Tensor
    """The camera-to-world matrices of its views, (views 4 4)."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        for name in PICTURE:
            empty = torch.empty(0, dtype=torch.int64 if name == "wanted_at" else torch.float32)
            self.register_buffer(name, empty, persistent=config.fits > 1)

    def read_model(self, source: ModelSource) -> LatentDiffusion:
        """The model, and what its folder says of cameras.

        Raises:
            UserError: it says nothing, or it has no picture in mind where a recipe asks for one.
        """
        where = f"{self.setting('model')}: '{source.name}'"
        if source.folder is None:
            download = f"`hf download {source.name} --local-dir FOLDER`"
            raise UserError(f"{where} is on the hub; give a folder with {FILE_NAME}, after {download}")
        conditioning = read_camera_conditioning(source.folder)
        if conditioning is None:
            raise UserError(
                f"{where} says nothing of cameras (a folder with {FILE_NAME} does); a model that knows none goes with "
                "guidance {type: latent-sds} and views {type: orbit}, as in configs/latent-nerf-single-view.yaml "
                "(bundled) and configs/latent-nerf-sd.yaml"
            )
        self.view_needs = ViewNeeds(n_together=conditioning.n_together, n_steps=self.config.fits)
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
        if step % self.config.fits == 0 or not self._is_wanted_from(cameras, render.latents):
            noisy = self.draw_noise(render.latents, step, total_steps, rng)
            self.wanted = self.denoised(noisy, cameras, step, total_steps)
            self.wanted_at, self.wanted_from = noisy.timestep, cameras.c2w.clone()
        weight = per_pixel(self.timestep_weight[self.wanted_at])
        gradient = weight * (render.latents.detach().float() - self.wanted)
        return self.output(render.latents, self.model.sigma[self.wanted_at], gradient, step, total_steps)

    def denoised(
        self, noisy: NoisyLatents, cameras: Cameras, step: int, total_steps: int
    ) -> Float[Tensor, "views height width channels"]:
        """z_hat: from x_t to t = 0 in evenly spaced steps of DDIM, each of them guided and rescaled; no gradient.

        Source: DDIM (arXiv:2010.02502), eq. 12 with sigma = 0.
        """
        asked = [self.unconditional(cameras), self.told_views(cameras)]
        scale = self.config.guidance_scale.at(step, total_steps)
        share = self.config.guidance_rescale.at(step, total_steps)
        here, wanted, n = noisy, noisy.latents, self.config.denoising_steps
        for left in reversed(range(n)):
            unconditional, conditional = (each.float() for each in self.answers(here, cameras, asked, as_pictures=True))
            # Both predictions are the same affine function of eps_hat, so that guidance works on pictures as on noise.
            wanted = guided_noise(unconditional, conditional, scale)
            wanted = rescaled_picture(wanted, conditional, share, self.view_needs.n_together)
            if left:
                noise = (here.latents - per_pixel(here.alpha) * wanted) / per_pixel(here.sigma)
                there = noisy.timestep * left // n
                here = later(replace(here, noise=noise), wanted, there, self.model.alpha, self.model.sigma)
        return wanted

    def _is_wanted_from(self, cameras: Cameras, latents: Tensor) -> bool:
        """Whether the last picture shows what these cameras see, in this size."""
        return self.wanted.shape == latents.shape and torch.equal(self.wanted_from, cameras.c2w)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for name in PICTURE:  # of any size; none, or one that nobody needs, where the recipe said otherwise before
            saved = state_dict.pop(f"{prefix}{name}", getattr(self, name))
            if self.config.fits > 1:
                state_dict[f"{prefix}{name}"] = saved
                setattr(self, name, torch.empty_like(saved, device=self.timestep_weight.device))
        super()._load_from_state_dict(state_dict, prefix, *rest)

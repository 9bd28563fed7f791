"""`latent-sds`: score distillation from a latent diffusion model, directly on rendered latents."""

import logging
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from core.cameras import ViewBins, view_names
from core.errors import require
from core.kinds import Guidance, device_of
from core.paths import FolderOrName
from core.schedule import Schedule
from core.types import Cameras, GuidanceOutput
from guidance.latent_diffusion import LatentDiffusion
from guidance.model_source import find_model
from guidance.precision import Weights, frozen_dtype
from guidance.prompts import VIEW_WORDS, shortened, view_prompts, vocabulary_warning
from guidance.sds import (
    WEIGHTINGS,
    Weighting,
    add_noise,
    draw_timesteps,
    guided_noise,
    rescaled_noise,
    sds_gradient,
    sds_loss,
    view_guided_noise,
)
from guidance.text_encoding import TextEmbedding
from guidance.world import read_world

log = logging.getLogger(__name__)

#: Places of the other texts behind those of the view words.
UNCONDITIONAL, PLAIN = len(VIEW_WORDS), len(VIEW_WORDS) + 1


class LatentSDS(Guidance, name="latent-sds"):
    """Score distillation on latents: no picture is encoded or decoded while training."""

    @dataclass(frozen=True)
    class Config:
        model: FolderOrName
        """`toybox`, a folder in the diffusers layout (`./mine` beside the recipe), or a hub id."""
        guidance_scale: Schedule = field(default_factory=lambda: Schedule.constant(10.0))
        """s of classifier-free guidance, eps_uncond + s (eps_text - eps_uncond); 1 means the text alone. A large one
        draws clear parts in glaring colours: let it come down towards the end, when the parts are there."""
        view_guidance_scale: Schedule | None = None
        """s_view, of what the view word adds to the prompt; null: as guidance_scale. A number of its own costs a third
        call of the denoiser, and helps a model that hardly minds such words while the shape is settled."""
        guidance_rescale: Schedule = field(default_factory=lambda: Schedule.constant(0.0))
        """phi, from 0 to 1: how far the contrast of the picture that guidance asks for is brought back to that of the
        text alone. Large scales ask for more contrast than any picture has."""
        weighting: Weighting = "sigma2"
        """w(t): `sigma2`, `sqrt-alpha-sigma2` (the paper's code) or `uniform`."""
        min_noise: Schedule = field(default_factory=lambda: Schedule.constant(0.02))
        """Least noise, as a share of the model's timesteps. High at first, it lets the whole find its shape before
        details settle on the ball or the mesh that training begins with."""
        max_noise: Schedule = field(default_factory=lambda: Schedule.ramp(0.98, 0.5, until=0.7))
        """Most noise, likewise: high noise shapes the whole, low noise the details."""
        negative_prompt: str = ""
        """What not to show; the unconditional text."""
        view_dependent: bool = True
        """Whether ", front view" (side, back, overhead, bottom) is appended to the prompt."""
        weights: Weights = "auto"
        """Precision of the frozen networks; auto: float16 on a GPU, bfloat16 on CPUs that compute it, else float32."""

        def __post_init__(self) -> None:
            _require_within("guidance_scale", self.guidance_scale)
            if self.view_guidance_scale is not None:
                _require_within("view_guidance_scale", self.view_guidance_scale)
                require(self.view_dependent, "view_guidance_scale: needs view_dependent, which is off")
            for name in ("guidance_rescale", "min_noise", "max_noise"):
                _require_within(name, getattr(self, name), most=1.0)

    weight: Tensor
    """w(t) at each timestep of the model."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        source = find_model(config.model)
        self.world = read_world(source.folder)
        self.view_bins = self.world.view_bins if self.world else ViewBins()
        self.model = LatentDiffusion(source)
        weight = WEIGHTINGS[config.weighting](self.model.alpha, self.model.sigma)
        self.register_buffer("weight", weight, persistent=False)
        self._rescales = max(config.guidance_rescale.values) > 0
        self._texts: TextEmbedding | None = None

    @property
    def latent_channels(self) -> int:
        """Channels of a latent picture."""
        return self.model.autoencoder.n_channels

    @property
    def latent_size(self) -> int:
        """Height and width at which the denoiser works."""
        return self.model.latent_size

    @property
    def picture_size(self) -> int:
        """Height and width of the pictures that such latents decode to, in pixels."""
        return self.model.latent_size * self.model.autoencoder.pixel_factor

    def prepare(self, prompt: str) -> None:
        """Embed the prompt's five views and the negative prompt, once, on the device where the model is by now.

        Raises:
            UserError: there is no prompt.
        """
        require(prompt.strip() != "", "prompt: missing; latent-sds is told what to make by --prompt TEXT")
        if self.world and (warning := vocabulary_warning(prompt, self.world.vocabulary, self.config.model)):
            log.warning("%s", warning)
        device = device_of(self)
        self.model.use_weights(frozen_dtype(self.config.weights, device))
        if self.config.view_dependent:
            texts = list(view_prompts(prompt, self.model.fits).values())
        else:
            texts = [prompt] * len(VIEW_WORDS)
        plain = [shortened(prompt, "", self.model.fits)] if self.config.view_guidance_scale is not None else []
        self._texts = self.model.embed_text([*texts, self.config.negative_prompt, *plain])

    def forward(
        self,
        latents: Float[Tensor, "views height width channels"],
        cameras: Cameras,
        step: int,
        total_steps: int,
        rng: Generator,
    ) -> GuidanceOutput:
        """The SDS loss of rendered latents; sds.py has the formulas.

        Raises:
            RuntimeError: before `prepare`.
        """
        if self._texts is None:
            raise RuntimeError("call prepare(prompt) before the first step")
        floor = self.config.min_noise.at(step, total_steps)
        ceiling = max(floor, self.config.max_noise.at(step, total_steps))
        timestep = draw_timesteps(len(latents), floor, ceiling, self.model.n_timesteps, rng).to(latents.device)
        alpha, sigma = self.model.alpha[timestep], self.model.sigma[timestep]

        z = latents.detach().float()
        noise = torch.randn(z.shape, generator=rng, device=rng.device).to(z.device)
        noisy, views = add_noise(z, noise, alpha, sigma), self._view_index(cameras)
        predicted, with_text = self._predict(noisy, timestep, views, *self._scales(step, total_steps))
        if share := self.config.guidance_rescale.at(step, total_steps) if self._rescales else 0.0:
            predicted = rescaled_noise(noisy, predicted, with_text, sigma, share)
        gradient = sds_gradient(predicted, noise, self.weight[timestep])
        metrics = {"gradient_rms": gradient.square().mean().sqrt(), "sigma": sigma.mean()}
        return GuidanceOutput(sds_loss(latents, gradient), metrics)

    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Latents to pictures, RGB in [0, 1]."""
        return self.model.autoencoder.decode(latents)

    def encode(self, rgb: Float[Tensor, "views rows columns 3"]) -> Float[Tensor, "views height width channels"]:
        """Pictures, RGB in [0, 1], to latents."""
        return self.model.autoencoder.encode(rgb)

    def _scales(self, step: int, total_steps: int) -> tuple[float, float | None]:
        """s, and s_view where it differs from s: without it, a call of the denoiser is saved."""
        scale, schedule = self.config.guidance_scale.at(step, total_steps), self.config.view_guidance_scale
        view_scale = schedule.at(step, total_steps) if schedule else None
        return scale, None if view_scale == scale else view_scale

    def _predict(
        self, noisy: Tensor, timestep: Tensor, views: Int[Tensor, "views"], scale: float, view_scale: float | None
    ) -> tuple[Tensor, Tensor]:
        """eps_hat with classifier-free guidance, and eps_text; all texts in one batch."""
        assert self._texts is not None
        unconditional = torch.full_like(views, UNCONDITIONAL)
        asked = [unconditional, views] if view_scale is None else [unconditional, views, torch.full_like(views, PLAIN)]
        n = len(asked)
        text = self._texts.select(torch.cat(asked))
        answers = self.model.predict_noise(noisy.repeat(n, 1, 1, 1), timestep.repeat(n), text).chunk(n)
        if view_scale is None:
            return guided_noise(answers[0], answers[1], scale), answers[1]
        without_text, with_text, plain = answers
        return view_guided_noise(without_text, plain, with_text, scale, view_scale), with_text

    def _view_index(self, cameras: Cameras) -> Int[Tensor, "views"]:
        words = view_names(cameras, self.view_bins)
        return torch.tensor([VIEW_WORDS.index(word) for word in words], device=cameras.c2w.device)


def _require_within(name: str, schedule: Schedule, most: float | None = None) -> None:
    """All values of a setting are at least 0, and at most `most`."""
    values = schedule.values
    if most is None:
        require(min(values) >= 0, f"{name}: at least 0, got {min(values):g}")
    else:
        require(all(0 <= value <= most for value in values), f"{name}: a share from 0 to {most:g}, got {values}")

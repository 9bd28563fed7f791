"""`latent-sds`: score distillation from a latent diffusion model, directly on rendered latents.

One step in three pieces, so that another score overrides one of them: `draw_noise` (timesteps, noise, x_t),
`predict_noise` (eps_hat, from the texts that it asks for) and `gradient`. sds.py has the formulas.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from core.cameras import ViewBins, view_names
from core.errors import require
from core.kinds import Guidance, device_of
from core.schedule import Schedule
from core.types import Cameras, GuidanceOutput, RenderOutput, TensorRecord
from guidance.frozen import frozen_dtype
from guidance.latent_diffusion import LatentDiffusion
from guidance.model_families import TextEmbedding
from guidance.model_settings import ModelSettings
from guidance.model_source import ModelSource
from guidance.prompts import VIEW_WORDS, view_prompts, vocabulary_warning, with_endings
from guidance.sds import (
    WEIGHTINGS,
    Weighting,
    add_noise,
    draw_timesteps,
    guided_noise,
    rescaled_noise,
    sds_gradient,
    sds_loss,
)
from guidance.training_distribution import read_training_distribution

log = logging.getLogger(__name__)

#: Place of the unconditional text behind those of the view words.
UNCONDITIONAL = len(VIEW_WORDS)


@dataclass(frozen=True)
class NoisyLatents(TensorRecord):
    """Rendered latents with noise on them, as the denoiser is asked about them."""

    latents: Float[Tensor, "views height width channels"]
    """x_t = alpha z + sigma eps."""
    noise: Float[Tensor, "views height width channels"]
    """eps."""
    timestep: Int[Tensor, "views"]
    """Index into the noise schedule; 0 is the least noise."""
    alpha: Float[Tensor, "views"]
    sigma: Float[Tensor, "views"]


class LatentSDS(Guidance, name="latent-sds"):
    """Score distillation on latents: no picture is encoded or decoded while training."""

    steerable = ("negative_prompt", "guidance_scale", "guidance_rescale", "min_noise", "max_noise")

    @dataclass(frozen=True)
    class Config(ModelSettings):
        """Settings of score distillation."""

        MOVED: ClassVar[Mapping[str, str]] = {"weights": "precision", "view_guidance_scale": "type: loud-view-sds"}

        guidance_scale: Schedule = field(default_factory=lambda: Schedule.constant(10.0))
        """s of classifier-free guidance, eps_uncond + s (eps_text - eps_uncond); 1 means the text alone. A large one
        draws clear parts in glaring colours: let it come down towards the end, when the parts are there."""
        guidance_rescale: Schedule = field(default_factory=lambda: Schedule.constant(0.0))
        """phi, from 0 to 1: how far the contrast of the picture that guidance asks for is brought back to that of the
        text alone. Large scales ask for more contrast than any picture has."""
        weighting: Weighting = "sigma2"
        """w(t): `sigma2`, `sqrt-alpha-sigma2` (the paper's code) or `uniform`."""
        min_noise: Schedule = field(default_factory=lambda: Schedule.constant(0.02))
        """Least noise, as a share of the model's timesteps. High at first, it lets the whole find its shape before
        details settle on the ball or the mesh that training begins with."""
        max_noise: Schedule = field(default_factory=lambda: Schedule.ramp(0.98, 0.5, until=0.7))
        """Most noise, as a share of the model's timesteps: high noise shapes the whole, low noise the details."""
        negative_prompt: str = ""
        """What not to show; the unconditional text."""
        view_dependent: bool = True
        """Whether ", front view" (side, back, overhead, bottom) is appended to the prompt."""

        def __post_init__(self) -> None:
            require_values("guidance_scale", self.guidance_scale)
            for name in ("guidance_rescale", "min_noise", "max_noise"):
                require_values(name, getattr(self, name), most=1.0)

    timestep_weight: Tensor
    """w(t) at each timestep of the model."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        source = config.find(self.setting)
        self.trained_on = read_training_distribution(source.folder)
        self.view_bins = self.trained_on.view_bins if self.trained_on else ViewBins()
        self.model = self.read_model(source)
        self.size_step = self.model.size_step
        weight = WEIGHTINGS[config.weighting](self.model.alpha, self.model.sigma)
        self.register_buffer("timestep_weight", weight, persistent=False)
        config.tell_scale(source, max(config.guidance_scale.values), self.setting("guidance_scale"))
        self._texts: TextEmbedding | None = None

    def read_model(self, source: ModelSource) -> LatentDiffusion:
        """The model behind a recipe's `model`; guidance that tells its denoiser more reads more."""
        return self.config.read(source, self.setting)

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
        """Embed the prompt's texts, once, on the device where the model is by now.

        Raises:
            UserError: there is no prompt.
        """
        require(prompt.strip() != "", f"prompt: missing; {self.part_name} is told what to make by --prompt TEXT")
        self.model.check_words(prompt, self.config.negative_prompt, self.setting("embeddings"))
        known = self.trained_on
        if known and (
            warning := vocabulary_warning(self.model.without_words(prompt), known.vocabulary, self.config.model)
        ):
            log.warning("%s", warning)
        self.model.use_precision(frozen_dtype(self.config.precision, device_of(self)))
        self._texts = self.model.embed_text(self.texts(prompt))
        self.model.load()  # what is wrong with its weights is told before the training

    def texts(self, prompt: str) -> list[str]:
        """What is embedded: the prompt for each of `VIEW_WORDS`, then the negative prompt (at `UNCONDITIONAL`)."""
        if self.config.view_dependent:
            views = list(view_prompts(prompt, self.model.fits).values())
        else:
            views = with_endings(prompt, [""], self.model.fits) * len(VIEW_WORDS)
        return [*views, *with_endings(self.config.negative_prompt, [""], self.model.fits)]

    def forward(
        self, render: RenderOutput, cameras: Cameras, step: int, total_steps: int, rng: Generator
    ) -> GuidanceOutput:
        """The SDS loss of rendered latents.

        Raises:
            RuntimeError: before `prepare`.
        """
        noisy = self.draw_noise(render.latents, step, total_steps, rng)
        guided, conditional = self.predict_noise(noisy, cameras, step, total_steps)
        if share := self.config.guidance_rescale.at(step, total_steps):
            together = self.view_needs.n_together
            guided = rescaled_noise(noisy.latents, guided, conditional, noisy.sigma, share, together)
        return self.output(render.latents, noisy, self.gradient(noisy, guided))

    def output(
        self,
        latents: Float[Tensor, "views height width channels"],
        noisy: NoisyLatents,
        gradient: Float[Tensor, "views height width channels"],
    ) -> GuidanceOutput:
        """The loss with this gradient, and numbers for the log."""
        metrics = {"gradient_rms": gradient.square().mean().sqrt(), "sigma": noisy.sigma.mean()}
        return GuidanceOutput(sds_loss(latents, gradient), metrics)

    def draw_noise(
        self, latents: Float[Tensor, "views height width channels"], step: int, total_steps: int, rng: Generator
    ) -> NoisyLatents:
        """One timestep for an object's views, between the recipe's bounds at this step, and noise; no gradient."""
        floor = self.config.min_noise.at(step, total_steps)
        ceiling = max(floor, self.config.max_noise.at(step, total_steps))
        n_timesteps, n_together = self.model.n_timesteps, self.view_needs.n_together
        timestep = draw_timesteps(len(latents), floor, ceiling, n_timesteps, rng, n_together).to(latents.device)
        alpha, sigma = self.model.alpha[timestep], self.model.sigma[timestep]
        z = latents.detach().float()
        noise = torch.randn(z.shape, generator=rng, device=rng.device).to(z.device)
        return NoisyLatents(add_noise(z, noise, alpha, sigma), noise, timestep, alpha, sigma)

    def predict_noise(
        self, noisy: NoisyLatents, cameras: Cameras, step: int, total_steps: int
    ) -> tuple[Float[Tensor, "views height width channels"], Float[Tensor, "views height width channels"]]:
        """eps_hat with classifier-free guidance, and eps_text."""
        views = self.view_index(cameras)
        unconditional, conditional = self.answers(noisy, cameras, [torch.full_like(views, UNCONDITIONAL), views])
        scale = self.config.guidance_scale.at(step, total_steps)
        return guided_noise(unconditional, conditional, scale), conditional

    def gradient(
        self, noisy: NoisyLatents, predicted: Float[Tensor, "views height width channels"]
    ) -> Float[Tensor, "views height width channels"]:
        """g = w(t) (eps_hat - eps)."""
        return sds_gradient(predicted, noisy.noise, self.timestep_weight[noisy.timestep])

    def answers(
        self, noisy: NoisyLatents, cameras: Cameras, asked: Sequence[Int[Tensor, "views"]], as_pictures: bool = False
    ) -> Sequence[Tensor]:
        """The denoiser's noise for some texts, in one batch.

        Args:
            asked: for each text, its place in `texts` by view.
            as_pictures: give z_hat in place of eps_hat.

        Returns:
            As many predictions as were asked for, each (views height width channels).
        """
        if self._texts is None:
            raise RuntimeError("call prepare(prompt) before the first step")
        n, predict = len(asked), self.model.predict_picture if as_pictures else self.model.predict_noise
        text = self._texts.select(torch.cat(list(asked)))
        return predict(noisy.latents.repeat(n, 1, 1, 1), noisy.timestep.repeat(n), text, cameras).chunk(n)

    def view_index(self, cameras: Cameras) -> Int[Tensor, "views"]:
        """The place of each view's word in `texts`."""
        words = view_names(cameras, self.view_bins)
        return torch.tensor([VIEW_WORDS.index(word) for word in words], device=cameras.c2w.device)

    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Latents to pictures, RGB in [0, 1]."""
        return self.model.autoencoder.decode(latents)

    def encode(self, rgb: Float[Tensor, "views rows columns 3"]) -> Float[Tensor, "views height width channels"]:
        """Pictures, RGB in [0, 1], to latents."""
        return self.model.autoencoder.encode(rgb)


def require_values(name: str, schedule: Schedule, most: float | None = None) -> None:
    """Check that all values of a setting are at least 0, and at most `most`."""
    values = schedule.values
    if most is None:
        require(min(values) >= 0, f"{name}: at least 0, got {min(values):g}")
    else:
        require(all(0 <= value <= most for value in values), f"{name}: a share from 0 to {most:g}, got {values}")

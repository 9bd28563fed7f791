"""`latent-sds`: score distillation from a latent diffusion model, directly on rendered latents.

One step in pieces, so that another score overrides one of them: `draw_noise` (timesteps, noise, x_t), `predict_noise`
(eps_hat, from texts), `reference` (what eps_hat is compared with) and `gradient`. Formulas: sds.py and scores.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Generator, Tensor

from core.cameras import view_names
from core.chance import normal, uniform
from core.kinds import trained_groups
from core.schedule import NEVER, Schedule, require_values
from core.types import Cameras, GuidanceOutput, RenderOutput
from guidance.low_rank import LowRank
from guidance.prompts import VIEW_WORDS, view_shares
from guidance.scores import (
    LITTLE_NOISE,
    NoisyLatents,
    Predicted,
    ScoreSettings,
    inverted,
    later,
    pushed_away,
    surface_noise,
)
from guidance.sds import (
    WEIGHTINGS,
    Weighting,
    add_noise,
    draw_timesteps,
    guided_noise,
    normalized,
    per_pixel,
    rescaled_noise,
    sds_gradient,
    sds_loss,
    shortened_gradient,
)
from guidance.text_guidance import UNCONDITIONAL, TextGuidance

#: Side of a cell of the surface that keeps its noise, in pixels of a latent picture that shows 2 world units.
CELL = 1.4


class LatentSDS(TextGuidance, name="latent-sds"):
    """Score distillation on latents, with a choice of scores: no picture is encoded or decoded while training."""

    steerable = ("negative_prompt", "guidance_scale", "guidance_rescale", "min_noise", "max_noise")

    @dataclass(frozen=True)
    class Config(ScoreSettings, TextGuidance.Config):
        """Settings of score distillation."""

        guidance_scale: Schedule = field(default_factory=lambda: Schedule.constant(10.0))
        """s of classifier-free guidance, eps_uncond + s (eps_text - eps_uncond); 1 means the text alone. Large
        values give clear parts but garish colours; lower it once the parts have formed."""
        guidance_rescale: Schedule = field(default_factory=lambda: Schedule.constant(0.0))
        """phi, from 0 to 1: how far the contrast of the picture that guidance asks for is brought back to that of the
        text alone. Large scales ask for more contrast than any picture has."""
        weighting: Weighting = "sigma2"
        """w(t): `sigma2`, `sqrt-alpha-sigma2` (the paper's code) or `uniform`."""
        min_noise: Schedule = field(default_factory=lambda: Schedule.constant(0.02))
        """Least noise, as a share of the model's timesteps. Starting high lets the overall shape form before details
        settle on the initial ball or mesh."""
        max_noise: Schedule = field(default_factory=lambda: Schedule.ramp(0.98, 0.5, until=0.7))
        """Most noise, as a share of the model's timesteps: high noise shapes the whole, low noise the details."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require_values("guidance_scale", self.guidance_scale)
            for name in ("guidance_rescale", "min_noise", "max_noise"):
                require_values(name, getattr(self, name), most=1.0)

        @property
        def asks_negative(self) -> bool:
            """Whether the negative prompt is a text of its own, beside the unconditional one."""
            return self.negative_scale is not None or self.score == "nfsd"

    timestep_weight: Tensor
    """w(t) at each timestep of the model."""
    config: Config

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        weight = WEIGHTINGS[config.weighting](self.model.alpha, self.model.sigma)
        self.register_buffer("timestep_weight", weight, persistent=False)
        config.tell_scale(self.source, max(config.guidance_scale.values), self.setting("guidance_scale"))
        self.variation = LowRank(self.model.layers(), config.variation.rank) if config.score == "vsd" else None
        self.term_names = (*self.term_names, *(("variation",) if self.variation else ()))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The LoRA of `vsd` has a learning rate of its own."""
        if self.variation is None:
            return trained_groups(self)
        return [{"params": list(self.variation.parameters()), "lr": self.config.variation.learning_rate}]

    def forward(
        self, render: RenderOutput, cameras: Cameras, step: int, total_steps: int, rng: Generator
    ) -> GuidanceOutput:
        """The score's loss of rendered latents.

        Raises:
            RuntimeError: before `prepare`.
        """
        noisy = self.with_noise(self.draw_noise(render.latents, step, total_steps, rng), render, cameras, rng)
        predicted = self.predict_noise(noisy, cameras, step, total_steps)
        if not isinstance(predicted, Predicted):
            raise self.wrong_result(predicted, "predict_noise: Predicted")
        if self.config.asks_negative:
            predicted = self.told_negative(predicted, noisy, cameras, step, total_steps)
        guided, n = predicted.guided, self.view_needs.n_together
        if (rescale := self.config.guidance_rescale) != NEVER and (share := rescale.at(step, total_steps)):
            guided = rescaled_noise(noisy.latents, guided, predicted.conditional, noisy.sigma, share, n)
        reference = self.reference(render, noisy, predicted, cameras, rng)
        if not isinstance(reference, Tensor) or reference.shape != noisy.noise.shape:
            raise self.wrong_result(reference, f"reference: one of shape {tuple(noisy.noise.shape)}")
        gradient = self.gradient(replace(noisy, noise=reference.detach()), guided)
        if not isinstance(gradient, Tensor) or gradient.shape != render.latents.shape:
            raise self.wrong_result(gradient, f"gradient: one of shape {tuple(render.latents.shape)}")
        output = self.output(render.latents, noisy.sigma, gradient, step, total_steps)
        if self.variation is None:
            return output
        return replace(output, terms={"variation": (reference - noisy.noise).square().mean()})

    def output(
        self,
        latents: Float[Tensor, "views height width channels"],
        sigma: Float[Tensor, "views"],
        gradient: Float[Tensor, "views height width channels"],
        step: int,
        total_steps: int,
    ) -> GuidanceOutput:
        """The loss with this gradient, normalised and shortened as the recipe says, and numbers for the log."""
        if self.config.normalize:
            gradient = normalized(gradient, self.view_needs.n_together)
        if self.config.gradient_limit is not None:
            gradient = shortened_gradient(gradient, self.config.gradient_limit.at(step, total_steps))
        metrics = {"gradient_rms": gradient.square().mean().sqrt(), "sigma": sigma.mean()}
        return GuidanceOutput(sds_loss(latents, gradient), metrics)

    def draw_noise(
        self, latents: Float[Tensor, "views height width channels"], step: int, total_steps: int, rng: Generator
    ) -> NoisyLatents:
        """One timestep for an object's views, between the recipe's bounds at this step, and noise; no gradient."""
        floor = self.config.min_noise.at(step, total_steps)
        ceiling = max(floor, self.config.max_noise.at(step, total_steps))
        floor = ceiling if self.config.timesteps == "annealed" else floor
        n_timesteps, n_together = self.model.n_timesteps, self.view_needs.n_together
        timestep = draw_timesteps(len(latents), floor, ceiling, n_timesteps, rng, n_together).to(latents.device)
        alpha, sigma = self.model.alpha[timestep], self.model.sigma[timestep]
        z = latents.detach().float()
        noise = normal(rng, *z.shape).to(z.device)
        return NoisyLatents(add_noise(z, noise, alpha, sigma), noise, timestep, alpha, sigma)

    def with_noise(self, noisy: NoisyLatents, render: RenderOutput, cameras: Cameras, rng: Generator) -> NoisyLatents:
        """The same with the noise that the recipe asks for."""
        config, model = self.config, self.model
        if config.noise == "surface":
            noise = surface_noise(render, cameras, CELL / self.latent_size, rng)
            noisy = later(replace(noisy, noise=noise), render.latents, noisy.timestep, model.alpha, model.sigma)
        if config.noise == "inverted":
            views = self.told_views(cameras)

            def ask(now: NoisyLatents) -> Tensor:
                return self.answers(now, cameras, [views])[0]

            noisy = inverted(noisy, render.latents, model.alpha, model.sigma, ask, config.inversion_steps)
        return noisy

    def predict_noise(self, noisy: NoisyLatents, cameras: Cameras, step: int, total_steps: int) -> Predicted:
        """eps_hat with classifier-free guidance, and the answers that it is made of."""
        views = self.told_views(cameras)
        unconditional, conditional = self.answers(noisy, cameras, [self.unconditional(cameras), views])
        scale = self.config.guidance_scale.at(step, total_steps)
        return Predicted(guided_noise(unconditional, conditional, scale), conditional, unconditional)

    def reference(
        self, render: RenderOutput, noisy: NoisyLatents, predicted: Predicted, cameras: Cameras, rng: Generator
    ) -> Float[Tensor, "views height width channels"]:
        """What eps_hat is compared with, as the recipe's `score` says."""
        score, model = self.config.score, self.model
        if score == "csd":
            return predicted.unconditional
        if score == "nfsd" and predicted.negative is not None:
            return predicted.negative * per_pixel((noisy.timestep >= LITTLE_NOISE * model.n_timesteps).float())
        if score == "asd":
            n = self.view_needs.n_together
            share = uniform(rng, len(render.latents) // n).repeat_interleave(n).to(noisy.timestep.device)
            more = (noisy.timestep * (1 + self.config.asynchrony * share)).long().clamp(max=model.n_timesteps - 1)
            noisier = later(noisy, render.latents, more, model.alpha, model.sigma)
            return self.answers(noisier, cameras, [self.told_views(cameras)])[0]
        if self.variation is not None:
            with self.variation.on(self.model.denoiser):
                return self.answers(noisy, cameras, [self.told_views(cameras)], is_learning=True)[0]
        return noisy.noise

    def gradient(
        self, noisy: NoisyLatents, predicted: Float[Tensor, "views height width channels"]
    ) -> Float[Tensor, "views height width channels"]:
        """g = w(t) (eps_hat - reference); `noisy.noise` is the reference here."""
        return sds_gradient(predicted, noisy.noise, self.timestep_weight[noisy.timestep])

    def answers(
        self,
        noisy: NoisyLatents,
        cameras: Cameras,
        asked: Sequence[Tensor],
        as_pictures: bool = False,
        is_learning: bool = False,
    ) -> Sequence[Tensor]:
        """The denoiser's noise for some texts, in one batch.

        Args:
            asked: for each text, its place in `texts` by view; or how much of each text a view is told, a float tensor
                of shape (views texts).
            as_pictures: give z_hat in place of eps_hat.
            is_learning: whether gradients flow to what is trained within the denoiser.

        Returns:
            As many predictions as were asked for, each (views height width channels).
        """
        if self._texts is None:
            raise RuntimeError("call prepare(prompt) before the first step")
        n = len(asked)
        is_mixed = any(each.is_floating_point() for each in asked)
        text = self._texts.mixed(asked) if is_mixed else self._texts.select(torch.cat(list(asked)))
        latents, timestep = noisy.latents.repeat(n, 1, 1, 1), noisy.timestep.repeat(n)
        shown = self.shown(cameras, latents.shape[1]) if self.config.control else ()
        return self.model.predict(latents, timestep, text, cameras, is_learning, shown, as_pictures).chunk(n)

    def told_negative(
        self, predicted: Predicted, noisy: NoisyLatents, cameras: Cameras, step: int, total_steps: int
    ) -> Predicted:
        """The answer to the negative prompts, and eps_hat moved away from it."""
        (negative,) = self.answers(noisy, cameras, [self.view_index(cameras) - len(VIEW_WORDS)])  # the last texts
        predicted = replace(predicted, negative=negative)
        if self.config.negative_scale is None:
            return predicted
        scale = self.config.negative_scale.at(step, total_steps)
        return replace(predicted, guided=pushed_away(predicted, scale, self.config.perpendicular))

    def unconditional(self, cameras: Cameras) -> Int[Tensor, "views"]:
        """The place of the unconditional text in `texts`, for each view."""
        return torch.full(cameras.azimuth_deg.shape, UNCONDITIONAL, device=cameras.c2w.device)

    def view_index(self, cameras: Cameras) -> Int[Tensor, "views"]:
        """The place of each view's word in `texts`."""
        words = view_names(cameras, self.view_bins)
        return torch.tensor([VIEW_WORDS.index(word) for word in words], device=cameras.c2w.device)

    def told_views(self, cameras: Cameras) -> Tensor:
        """What each view is told, as `answers` takes it."""
        return view_shares(cameras, self.view_bins) if self.config.blend_views else self.view_index(cameras)

"""`loud-view-sds`: score distillation that tells a view's word louder than the rest of the prompt.

For small models, which hardly mind the word while the shape is settled. It costs a third call of the denoiser.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import require
from core.schedule import Schedule, require_values
from core.types import Cameras
from guidance.latent_sds import LatentSDS
from guidance.prompts import shortened
from guidance.scores import NoisyLatents, Predicted
from guidance.sds import guided_noise
from guidance.text_guidance import UNCONDITIONAL

#: Place of the prompt without any view word behind the other texts.
PLAIN = UNCONDITIONAL + 1


class LoudViewSDS(LatentSDS, name="loud-view-sds"):
    """Score distillation with a guidance scale of its own for what the view word adds."""

    steerable = (*LatentSDS.steerable, "view_guidance_scale")

    @dataclass(frozen=True)
    class Config(LatentSDS.Config):
        """Settings of score distillation with loud view words."""

        view_guidance_scale: Schedule = field(default_factory=lambda: Schedule.constant(40.0))
        """s_view, of what the view word adds to the prompt."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require_values("view_guidance_scale", self.view_guidance_scale)
            require(self.view_dependent, "view_guidance_scale: needs view_dependent, which is off")

    config: Config

    def texts(self, prompt: str) -> list[str]:
        """Those of `latent-sds`, and the prompt alone."""
        return [*super().texts(prompt), shortened(prompt, "", self.model.fits)]

    def predict_noise(self, noisy: NoisyLatents, cameras: Cameras, step: int, total_steps: int) -> Predicted:
        """eps_hat with both scales; where the scales are equal, a call of the denoiser is saved."""
        scale, view_scale = (
            schedule.at(step, total_steps) for schedule in (self.config.guidance_scale, self.config.view_guidance_scale)
        )
        if scale == view_scale:
            return super().predict_noise(noisy, cameras, step, total_steps)
        nothing = self.unconditional(cameras)
        asked = [nothing, self.told_views(cameras), torch.full_like(nothing, PLAIN)]
        unconditional, conditional, plain = self.answers(noisy, cameras, asked)
        guided = view_guided_noise(unconditional, plain, conditional, scale, view_scale)
        return Predicted(guided, conditional, unconditional)


def view_guided_noise(
    unconditional: Float[Tensor, "views height width channels"],
    plain: Float[Tensor, "views height width channels"],
    conditional: Float[Tensor, "views height width channels"],
    scale: float,
    view_scale: float,
) -> Float[Tensor, "views height width channels"]:
    """eps_hat = eps_uncond + s (eps_plain - eps_uncond) + s_view (eps_text - eps_plain).

    With s_view = s this is `guided_noise`. A model that hardly minds the view word is told it louder, without all else
    becoming louder too.

    Args:
        plain: the prediction for the prompt without its view word.
        conditional: the prediction for the prompt with it.

    Source: two conditions as in InstructPix2Pix (arXiv:2211.09800), eq. 3.
    """
    return guided_noise(unconditional, plain, scale) + view_scale * (conditional - plain)

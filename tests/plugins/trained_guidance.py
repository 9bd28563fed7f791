"""Guidance with weights of its own: a correction of the denoiser's answer, trained beside the field (VSD's way)."""

from dataclasses import replace
from typing import Any

from torch import Generator, nn

from core.types import Cameras, GuidanceOutput, RenderOutput
from guidance.latent_sds import LatentSDS


class CorrectedSDS(LatentSDS, name="corrected-sds"):
    """Score distillation beside which a correction of the noise is learnt."""

    term_names = ("correction",)

    def __init__(self, config: LatentSDS.Config) -> None:
        super().__init__(config)
        self.correction = nn.Linear(self.latent_channels, self.latent_channels)

    def forward(
        self, render: RenderOutput, cameras: Cameras, step: int, total_steps: int, rng: Generator
    ) -> GuidanceOutput:
        """The usual loss, and how well the corrected noise meets the true one; the latents are detached there."""
        output = super().forward(render, cameras, step, total_steps, rng)
        noisy = self.draw_noise(render.latents, step, total_steps, rng)
        frozen = self.predict_noise(noisy, cameras, step, total_steps).conditional
        error = (frozen + self.correction(noisy.latents) - noisy.noise).square().mean()
        return replace(output, terms={"correction": error})

    def parameter_groups(self) -> list[dict[str, Any]]:
        """A rate of its own."""
        return [{"params": list(self.correction.parameters()), "lr": 0.01}]

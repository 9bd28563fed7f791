"""`latent-nerf`: a radiance field of latents, made by score distillation alone.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.1.
"""

from dataclasses import dataclass

from core.kinds import DensityField
from core.part import Choice
from systems.base import LightningSystem


class LatentNeRF(LightningSystem, name="latent-nerf"):
    """A latent radiance field from a prompt."""

    @dataclass(frozen=True)
    class Config(LightningSystem.Config):
        """Settings of Latent-NeRF."""

        geometry: Choice[DensityField]
        """The field that is trained."""

"""A guidance of your own: score distillation that speaks louder where there is more noise.

python launch.py --config examples/my_guidance.yaml --prompt "a red mushroom"
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from core.errors import require
from guidance.latent_sds import LatentSDS, NoisyLatents
from guidance.sds import per_pixel


class BoldSDS(LatentSDS, name="bold-sds"):
    """Score distillation whose gradient counts more at high noise, where the whole is settled."""

    @dataclass(frozen=True)
    class Config(LatentSDS.Config):
        """Settings of score distillation, and the boldness."""

        boldness: float = 1.0
        """The gradient is multiplied by 1 + boldness x sigma."""

        def __post_init__(self) -> None:
            super().__post_init__()
            require(self.boldness >= 0, f"boldness: at least 0, got {self.boldness:g}")

    config: Config

    def gradient(
        self, noisy: NoisyLatents, predicted: Float[Tensor, "views height width channels"]
    ) -> Float[Tensor, "views height width channels"]:
        """g = (1 + b sigma) w(t) (eps_hat - eps)."""
        louder = 1 + self.config.boldness * per_pixel(noisy.sigma)
        return louder * super().gradient(noisy, predicted)

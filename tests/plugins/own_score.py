"""A score of one's own in one method: eps_hat is compared with the mean of the drawn noise and eps_uncond."""

from jaxtyping import Float
from torch import Generator, Tensor

from core.types import Cameras, RenderOutput
from guidance.latent_sds import LatentSDS
from guidance.scores import NoisyLatents, Predicted


class HalfClassifierSDS(LatentSDS, name="half-csd"):
    """Halfway from `sds` to `csd`."""

    def reference(
        self, render: RenderOutput, noisy: NoisyLatents, predicted: Predicted, cameras: Cameras, rng: Generator
    ) -> Float[Tensor, "views height width channels"]:
        """The mean of both."""
        return (noisy.noise + predicted.unconditional) / 2

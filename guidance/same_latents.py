"""Whether two models' latents are the same: two autoencoders may give four channels each that mean other pictures.

Names cannot decide this: one model may have an alias, a folder and several hub ids.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import UserError
from core.kinds import Guidance, device_of

#: Relative difference up to which two encoders are the same one, in whatever precision.
MOST_DIFFERENCE = 0.05
PROBE_SIZE = 64


@torch.no_grad()
def same_latents(mine: Guidance, theirs: Guidance) -> bool:
    """Whether both encode a picture alike."""
    return _difference(mine.encode(_probe(mine)), theirs.encode(_probe(theirs))) <= MOST_DIFFERENCE


def check_same_latents(mine: Guidance, theirs: Guidance) -> None:
    """Refuse latents of another run that mean other pictures to this recipe's model.

    Raises:
        UserError: naming both models.
    """
    mine = mine.latent_guidance
    if not same_latents(mine, theirs):
        there = _model_name(theirs)
        raise UserError(
            f"--from: the run does not fit {mine.recipe_path} of this recipe: its latents are those of '{there}', "
            f"not of '{_model_name(mine)}'; give {mine.setting('model')}={there}"
        )


def _model_name(guidance: Guidance) -> str:
    return str(getattr(getattr(guidance, "config", None), "model", None) or guidance.part_name)


def _probe(guidance: Guidance) -> Float[Tensor, "1 size size 3"]:
    """Red rises to the right, green downward, blue along the diagonal."""
    ramp = torch.linspace(0, 1, PROBE_SIZE, device=device_of(guidance))
    down, across = torch.meshgrid(ramp, ramp, indexing="ij")
    return torch.stack([across, down, (across + down) / 2], dim=-1)[None]


def _difference(mine: Tensor, theirs: Tensor) -> float:
    if mine.shape != theirs.shape:
        return float("inf")
    own, other = mine.float().cpu(), theirs.float().cpu()
    return float((own - other).norm() / other.norm().clamp_min(1e-12))

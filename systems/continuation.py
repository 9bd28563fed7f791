"""Whether another run's result means here what it meant there: the same tensors, field, and kind of latents.

Tensors of equal shape are no proof: a field with another `bound` is the same tensors read at other places, and the
latents of two models have four channels each.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import UserError
from core.kinds import Guidance, device_of
from core.part import Choice
from core.settings import plain

#: Settings of a field that say how it is trained or computed, not what it is; as endings of their names. The
#: height of its first ball as training left it comes with its tensors.
FREE = ("learning_rate", "backend", "blob_height")
#: Relative difference up to which two encoders are the same one, in whatever precision.
MOST_DIFFERENCE = 0.05
PROBE_SIZE = 64


def check_same_tensors(checkpoint: dict[str, Any], groups: Sequence[dict[str, Any]]) -> None:
    """Refuse an optimizer's state of other tensors than this training has.

    Raises:
        UserError: other backends keep one field's values in other tensors, and moments are not converted.
    """
    theirs = [len(group["params"]) for group in checkpoint["optimizer_states"][0]["param_groups"]]
    ours = [len(list(group["params"])) for group in groups]
    if theirs != ours:
        raise UserError(
            f"--resume: the optimizer's state is of {theirs} tensors, this training has {ours}. "
            "It goes on with the backend that it began with: system.geometry.backend=torch, triton or tcnn"
        )


def check_same_field(mine: Choice[Any], theirs: Choice[Any], where: str) -> None:
    """Refuse a field that this recipe would read otherwise than the run that trained it.

    Args:
        where: the path of the field in the recipe.

    Raises:
        UserError: with the settings that differ, as they are to be given.
    """
    if mine.part is not theirs.part:
        raise UserError(
            f"--from: the run does not fit {where} of this recipe: it has trained a '{theirs.part.part_name}', "
            f"not a '{mine.part.part_name}'"
        )
    here, there = dict(_settings(plain(mine))), dict(_settings(plain(theirs)))
    differing = [key for key in {**there, **here} if not _is_free(key) and here.get(key) != there.get(key)]
    if differing:
        told = ", ".join(f"{key} is {there.get(key)} there and {here.get(key)} here" for key in differing)
        given = " ".join(f"{where}.{key}={there.get(key)}" for key in differing)
        raise UserError(f"--from: the run does not fit {where} of this recipe: {told}; give {given}")


@torch.no_grad()
def same_latents(mine: Guidance, theirs: Guidance) -> bool:
    """Whether both encode a picture alike. Names would not tell: a model has an alias, a folder and several hub ids."""
    return _difference(mine.encode(_probe(mine)), theirs.encode(_probe(theirs))) <= MOST_DIFFERENCE


def check_same_latents(mine: Guidance, theirs: Guidance, where: str) -> None:
    """Refuse latents that mean other pictures to this recipe's model.

    Args:
        where: the path of the guidance in the recipe.

    Raises:
        UserError: naming both models.
    """
    if not same_latents(mine, theirs):
        there = _model_name(theirs)
        raise UserError(
            f"--from: the run does not fit {where} of this recipe: its latents are those of '{there}', "
            f"not of '{_model_name(mine)}'; give {where}.model={there}"
        )


def _is_free(key: str) -> bool:
    """Whether a path leads to or through a free setting, as `blob_height.start` does."""
    return any(name.endswith(FREE) for name in key.split("."))


def _model_name(guidance: Guidance) -> str:
    return str(getattr(getattr(guidance, "config", None), "model", None) or guidance.part_name)


def _settings(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting of a plain tree by its path."""
    if not isinstance(tree, dict):
        yield prefix, tree
        return
    for key, item in tree.items():
        yield from _settings(item, f"{prefix}.{key}" if prefix else str(key))


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

"""Colours of an object's parts as cameras see them: of a painting, and of the toy world's own object in its light."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from benchmarks.canonical import canonical_views
from core.types import Cameras
from toybox.captions import Subject
from toybox.scenes import FIXED, build

#: A part that fewer pixels of all views show is too small to have a colour.
FEWEST_PIXELS = 24


@dataclass(frozen=True)
class PartColours:
    """What was measured of one painting."""

    main_distance: float
    """Between the mean colours of the main parts, ours and the true ones, in RGB of [0, 1]."""
    n_fixed: int
    """Parts of a colour of their own that are large enough to be seen."""
    n_fixed_right: int
    """Those of them that are nearer to their own colour than to the main one."""


def part_colours(subject: Subject, cameras: Cameras, pictures: Float[Tensor, "views size size 3"]) -> PartColours:
    """Compare pictures of a painted canonical mesh with the canonical object in training light, from the same views.

    Args:
        cameras: in the pictures' size.
    """
    true, parts = canonical_views(subject, cameras)
    ours, theirs = _means(pictures, parts), _means(true, parts)
    rules = [_rule(part.paint) for part in build(subject.kind).parts]
    main = [index for index in ours if rules[index] == "main"]
    weights = torch.tensor([float((parts == index).sum()) for index in main])
    main_ours, main_true = (
        (weights[:, None] * torch.stack([means[index] for index in main])).sum(dim=0) / weights.sum()
        for means in (ours, theirs)
    )
    fixed = [index for index in ours if rules[index] in FIXED]
    right = [
        (ours[index] - theirs[index]).norm() < (ours[index] - main_true).norm()
        for index in fixed
        if (theirs[index] - main_true).norm() > 1e-6
    ]
    return PartColours(float((main_ours - main_true).norm()), len(right), sum(map(bool, right)))


def _means(
    pictures: Float[Tensor, "views size size 3"], parts: Int[Tensor, "views size size"]
) -> dict[int, Float[Tensor, "3"]]:
    """Mean colour of each part that is seen well enough."""
    seen, counts = np.unique(parts.numpy(), return_counts=True)
    kept = [int(index) for index, n in zip(seen, counts, strict=True) if index >= 0 and n >= FEWEST_PIXELS]
    return {index: pictures[parts == index].mean(dim=0) for index in kept}


def _rule(paint: str) -> str:
    """A part's colour where the caption names one colour only: `main`, or a fixed one's name."""
    return paint.removeprefix("second:")

"""How well two solids agree: intersection over union after the best uniform scale and shift, and the best ellipsoid.

All is counted on 64^3 cells over the reference's own cube. What the other shape has outside of that cube is counted
too, and counts against it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from benchmarks.solids import Solid, cube_points

CELLS = 64
SCALES = (0.7, 1.4)
FARTHEST_SHIFT = 0.1  # along each axis, world units

Vector = tuple[float, ...]


@dataclass(frozen=True)
class Alignment:
    """The best place of a shape over its reference: position' = scale x position + shift."""

    iou: float
    scale: float = 1.0
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)


def overlap(reference: Bool[Tensor, "*cells"], other: Bool[Tensor, "*cells"], outside: float = 0.0) -> float:
    """Intersection over union; 0 where both are empty.

    Args:
        outside: cells of the other shape that lie beyond those given.
    """
    union = float((reference | other).sum()) + outside
    return float((reference & other).sum()) / union if union else 0.0


def overlap_at(reference: Solid, other: Solid, alignment: Vector = (0.0, 0.0, 0.0, 0.0), n: int = CELLS) -> float:
    """Intersection over union of a reference and another solid, moved.

    Args:
        alignment: logarithm of the scale, and the shift.
        n: cells along each axis of the reference's cube.
    """
    return _Comparison(reference, other, n)(alignment)


def best_alignment(reference: Solid, other: Solid) -> Alignment:
    """The uniform scale in [0.7, 1.4] and shift up to 0.1 along each axis that make two solids agree best.

    A search on few cells from several scales, then from the best of them on more and more cells.
    """
    if not other.occupied.any():
        return Alignment(0.0)
    low, high = (math.log(scale) for scale in SCALES)
    bounds = ((low, high), *[(-FARTHEST_SHIFT, FARTHEST_SHIFT)] * 3)
    coarse = _Comparison(reference, other, CELLS // 4)
    starts: list[Vector] = [(low + (high - low) * i / 7, 0.0, 0.0, 0.0) for i in range(8)]
    starts.append((0.0, 0.0, 0.0, 0.0))
    found = [climb(coarse, start, (0.08, 0.04, 0.04, 0.04), bounds, n_halvings=2) for start in starts]
    best = sorted(found, key=coarse, reverse=True)[:2]
    medium, fine = _Comparison(reference, other, CELLS // 2), _Comparison(reference, other, CELLS)
    best = max((climb(medium, start, (0.03,) + (0.015,) * 3, bounds, n_halvings=2) for start in best), key=medium)
    log_scale, *shift = climb(fine, best, (0.01,) + (0.005,) * 3, bounds, n_halvings=2)
    x, y, z = shift
    return Alignment(fine((log_scale, x, y, z)), math.exp(log_scale), (x, y, z))


def best_ellipsoid(reference: Solid) -> float:
    """Intersection over union of the ellipsoid that fits a solid best: what a mere blob reaches.

    It begins with the solid's centre and second moments (a solid ellipsoid of semi-axis a has variance a^2 / 5 along
    it); then semi-axes and centre are improved by search.
    """
    inside = reference.points()
    centre = inside.mean(dim=0)
    variances, axes = torch.linalg.eigh((inside - centre).T.cov())
    # Half as wide again as the cube: an ellipsoid may bulge out of it.
    points = cube_points(1.5 * reference.half, CELLS * 3 // 2)
    cells = reference.contains(points)
    along = (points.view(-1, 3) - centre) @ axes

    def score(shape: Vector, stride: int = 1) -> float:
        ellipsoid = torch.tensor(shape)
        grid = along.view(*points.shape)[::stride, ::stride, ::stride]
        within = ((grid - ellipsoid[3:]) / ellipsoid[:3].exp()).square().sum(dim=-1) <= 1
        return overlap(cells[::stride, ::stride, ::stride], within)

    start = (*(0.5 * (5 * variances).log()).tolist(), 0.0, 0.0, 0.0)
    bounds = (*[(-6.0, 1.0)] * 3, *[(-reference.half, reference.half)] * 3)
    rough = climb(lambda shape: score(shape, 2), start, (0.15,) * 3 + (0.05,) * 3, bounds, n_halvings=3)
    return score(climb(score, rough, (0.03,) * 3 + (0.01,) * 3, bounds, n_halvings=1))


def climb(
    score: Callable[[Vector], float],
    start: Vector,
    steps: Sequence[float],
    bounds: Sequence[tuple[float, float]],
    n_halvings: int,
) -> Vector:
    """Coordinate search: a step along each axis in turn, kept if it scores higher; halved where none does."""
    best, highest = start, score(start)
    halvings = 0
    while halvings <= n_halvings:
        before = highest
        for axis, step in enumerate(steps):
            for signed in (step * 0.5**halvings, -step * 0.5**halvings):
                low, high = bounds[axis]
                moved = (*best[:axis], min(high, max(low, best[axis] + signed)), *best[axis + 1 :])
                if moved != best and (value := score(moved)) > highest:
                    best, highest = moved, value
                    break
        halvings += highest == before
    return best


class _Comparison:
    """The agreement of two solids as a function of the alignment, what does not change computed once."""

    def __init__(self, reference: Solid, other: Solid, n: int) -> None:
        self.half = reference.half
        self.points = cube_points(reference.half, n)
        self.reference = reference.contains(self.points)
        self.other = other.reader()
        self.own = other.points()
        self.reach = self.own.aminmax(dim=0)
        self.own_cells = (other.spacing / (2 * reference.half / n)) ** 3  # cells that one point of the other stands for

    def __call__(self, alignment: Vector) -> float:
        scale, shift = math.exp(alignment[0]), torch.tensor(alignment[1:])
        moved = self.other((self.points - shift) / scale)
        return overlap(self.reference, moved, self._n_outside(scale, shift) * self.own_cells * scale**3)

    def _n_outside(self, scale: float, shift: Float[Tensor, "3"]) -> int:
        """How many of the other's points the move takes beyond the cube; mostly its box says that none are."""
        if all(float((corner * scale + shift).abs().max()) <= self.half for corner in self.reach):
            return 0
        return int(((self.own * scale + shift).abs().amax(dim=-1) > self.half).sum())

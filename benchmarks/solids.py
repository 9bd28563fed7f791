"""Solid shapes on grids: how they are made of closed meshes and fields, read anywhere, and compared.

A solid holds all that cannot be reached from its cube's border. World axes x, y, z; every cube is centred on the
origin, as the toy objects are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from geometry.isosurface import solid_occupancy

# The grid's points avoid the planes, edges and corners that meshes are made of: a ray through an edge would count
# twice. In shares of the spacing, different along each axis.
OFF_EDGES = (0.00137, 0.00211, 0.00173)


@dataclass(frozen=True)
class Solid:
    """A filled shape: which points of a regular grid over the cube [-half, half]^3, ends included, are inside."""

    occupied: Bool[Tensor, "n n n"]
    half: float

    @property
    def spacing(self) -> float:
        """Between neighbouring points, world units."""
        return 2 * self.half / (self.occupied.shape[0] - 1)

    def points(self) -> Float[Tensor, "inside 3"]:
        """The grid's points that are inside."""
        return self.occupied.nonzero() * self.spacing - self.half

    def contains(self, positions: Float[Tensor, "*batch 3"]) -> Bool[Tensor, "*batch"]:
        """Whether points are inside, by trilinear interpolation; outside of the cube nothing is."""
        return self.reader()(positions)

    def reader(self) -> Callable[[Tensor], Tensor]:
        """`contains` as a function that is asked many times: what it reads is prepared once."""
        texture = self.occupied.permute(2, 1, 0)[None, None].float().contiguous()

        def contains(positions: Tensor) -> Tensor:
            flat = (positions / self.half).reshape(1, -1, 1, 1, 3).float()
            return (F.grid_sample(texture, flat, align_corners=True) > 0.5).view(positions.shape[:-1])

        return contains


def solid_of(occupied: NDArray[np.bool_], half: float) -> Solid:
    """The solid of an occupancy: hollows that nothing from outside can reach are filled."""
    return Solid(torch.from_numpy(solid_occupancy(occupied)), half)


def cube_points(half: float, n: int) -> Float[Tensor, "n n n 3"]:
    """Middles of n^3 cells that fill [-half, half]^3."""
    axis = ((torch.arange(n) + 0.5) / n * 2 - 1) * half
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)


def inside_closed_mesh(triangles: Float[np.ndarray, "faces 3 3"], half: float, n: int) -> NDArray[np.bool_]:
    """Which of n^3 points over [-half, half]^3 (ends included) a closed mesh encloses, by the parity of crossings.

    A ray runs along +z through every (x, y) of the grid. Where it crosses a face, everything behind changes between
    inside and outside.

    Args:
        triangles: corners of the faces; the mesh must be closed, their orientation does not matter.
    """
    axes = [np.linspace(-half, half, n) + share * 2 * half / (n - 1) for share in OFF_EDGES]
    crossings = np.zeros((n, n, n + 1), dtype=np.int16)
    for corners in triangles.astype(np.float64):
        (x0, y0), (x1, y1) = corners[:, :2].min(axis=0), corners[:, :2].max(axis=0)
        first_x, last_x = np.searchsorted(axes[0], (x0, x1))
        first_y, last_y = np.searchsorted(axes[1], (y0, y1))
        if first_x == last_x or first_y == last_y:
            continue
        x, y = np.meshgrid(axes[0][first_x:last_x], axes[1][first_y:last_y], indexing="ij")
        hit, z = _height_over(corners, x, y)
        ix, iy = np.nonzero(hit)
        behind = np.searchsorted(axes[2], z[ix, iy])
        np.add.at(crossings, (ix + first_x, iy + first_y, behind), 1)
    return crossings[:, :, :n].cumsum(axis=2) % 2 == 1


def _height_over(
    corners: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which points (x, y) lie under a face seen along z, and the face's z there (of no meaning elsewhere)."""
    (ax, ay, az), (bx, by, bz), (cx, cy, cz) = corners
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    if area == 0:
        return np.zeros(x.shape, dtype=bool), np.zeros(x.shape)
    beta = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
    gamma = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
    alpha = 1 - beta - gamma
    return (alpha > 0) & (beta > 0) & (gamma > 0), alpha * az + beta * bz + gamma * cz

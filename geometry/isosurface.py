"""From a density field to a closed mesh whose silhouettes match what rays see of the field.

Words used here:
    volume      the density at the vertices of a regular grid over the cube [-bound, bound]^3, axes x, y, z.
    threshold   the density at which the surface lies.
    solid       filled: everything that cannot be reached from the cube's border through empty cells.
    floater     a piece that touches nothing else and is small against the largest one.

All looks between the grid's vertices interpolate the logarithm of the density: a field's exponent is smooth where the
density itself jumps by orders of magnitude within a cell, which would draw every vertex to the cell's edge and leave
stairs.
"""

import math

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from core.cameras import camera_rays
from core.errors import UserError
from core.kinds import DensityField, device_of
from core.memory import with_less_at_once
from core.types import Cameras
from geometry.mesh import Mesh, signed_volumes

# Only densities between these two are told apart: fainter, and the whole scene stays clear; denser, and a cell is
# opaque.
FAINTEST, DENSEST = 0.05, 1e3
OPAQUE = 0.5
# Thresholds whose silhouettes agree this nearly as well as the best one's count as equally good.
AS_GOOD = 0.998


@torch.no_grad()
def density_volume(field: DensityField, resolution: int, chunk: int = 2**17) -> Float[Tensor, "n n n"]:
    """The field's density at resolution^3 points of its cube, a chunk of points at a time, on the CPU."""
    device = device_of(field)
    axis = torch.linspace(-field.bound, field.bound, resolution, device=device)
    volume = torch.empty(resolution**3)

    def fill(chunk: int) -> None:
        for first in range(0, resolution**3, chunk):
            index = torch.arange(first, min(first + chunk, resolution**3), device=device)
            x, y, z = index // resolution**2, index // resolution % resolution, index % resolution
            volume[first : first + chunk] = field.density(torch.stack([axis[x], axis[y], axis[z]], dim=-1)).cpu()

    with_less_at_once(fill, chunk)
    if not volume.isfinite().all():
        raise UserError("the field's density is not finite everywhere: training has diverged; lower its learning rates")
    return volume.view(resolution, resolution, resolution)


def find_threshold(
    volume: Float[Tensor, "n n n"], bound: float, cameras: Cameras, opacity: Float[Tensor, "views height width"]
) -> float:
    """The density whose surface has the silhouettes that rays see: best mean overlap with opacity > 0.5.

    A ray meets the surface at threshold t where the largest density along it is above t. So the silhouettes of all
    thresholds at once are the rays sorted by that largest density, and their overlap (intersection over union) with
    the opaque rays is two running sums. Where a range of thresholds is as good, its (geometric) middle is taken.

    Raises:
        UserError: no ray is opaque; gives the density's range.
    """
    opaque = (opacity > OPAQUE).flatten().cpu()
    if not opaque.any():
        lowest, highest = float(volume.min()), float(volume.max())
        raise UserError(
            f"the field is empty: no ray's opacity reaches {OPAQUE:g} (highest {float(opacity.max()):.3g}), "
            f"its density lies between {lowest:.3g} and {highest:.3g}; train longer, or check the guidance"
        )
    largest, order = _largest_along_rays(log_density(volume), bound, cameras.to("cpu")).sort(descending=True)
    n_hit = opaque[order].cumsum(dim=0)
    overlap = n_hit / (opaque.sum() + torch.arange(1, len(order) + 1) - n_hit)
    best = int(overlap.argmax())
    worse = (overlap < AS_GOOD * overlap[best]).nonzero()[:, 0]
    first = int(worse[worse < best].max()) + 1 if (worse < best).any() else 0
    last = int(worse[worse > best].min()) if (worse > best).any() else len(order) - 1
    # The surface lies below the last ray that it is to catch, and above the first that it is not.
    return FAINTEST * math.exp(0.5 * float(largest[first] + largest[last]))


def log_density(volume: Float[Tensor, "n n n"]) -> Float[Tensor, "n n n"]:
    """log(density / FAINTEST), from 0 to log(DENSEST / FAINTEST)."""
    return (volume.clamp(FAINTEST, DENSEST) / FAINTEST).log()


def _largest_along_rays(exponent: Float[Tensor, "n n n"], bound: float, cameras: Cameras) -> Float[Tensor, "rays"]:
    """Largest exponent along each ray, read from the grid at twice its resolution; outside of the cube it is 0."""
    rays = camera_rays(cameras)
    n_looks = 2 * exponent.shape[0]
    # grid_sample's last coordinate belongs to the first axis.
    texture = exponent.permute(2, 1, 0)[None, None]
    largest = []
    for origins, directions in zip(rays.origins, rays.directions, strict=True):
        to_middle = origins.norm(dim=-1, keepdim=True)
        distances = to_middle + torch.linspace(-1, 1, n_looks) * bound * 3**0.5
        points = origins[..., None, :] + distances[..., None] * directions[..., None, :]
        seen = F.grid_sample(texture, points[None] / bound, align_corners=True)
        largest.append(seen[0, 0].amax(dim=-1).flatten())
    return torch.cat(largest)


def marching_cubes(
    volume: Float[Tensor, "n n n"], bound: float, threshold: float, smallest_share: float = 0.02
) -> tuple[Mesh, int]:
    """The closed surface of all that is denser than a threshold, in world space, and how many floaters were left out.

    Rooms that cannot be reached from outside are filled.

    Args:
        volume: over [-bound, bound]^3, ends included.
        threshold: density, between FAINTEST and DENSEST.
        smallest_share: pieces with a smaller share of the largest one's cells are floaters.

    Raises:
        UserError: nothing is denser than the threshold; gives the density's range.
    """
    import mcubes

    exponent = log_density(volume.cpu()).numpy()
    level = math.log(threshold / FAINTEST)
    dense = exponent > level
    if not dense.any():
        raise UserError(
            f"the field is empty: its density lies between {float(volume.min()):.3g} and {float(volume.max()):.3g}, "
            f"nowhere above the threshold {threshold:.3g}; train longer, or lower the threshold"
        )
    kept, n_floaters = _without_floaters(dense, smallest_share)
    exponent[dense & ~kept] = 0.0
    exponent[solid_occupancy(kept) & ~kept] = math.log(DENSEST / FAINTEST)
    vertices, faces = mcubes.marching_cubes(np.pad(exponent, 1), level)
    spacing = 2 * bound / (volume.shape[0] - 1)
    vertices, faces = (vertices - 1) * spacing - bound, faces.astype(np.int64)
    if signed_volumes(vertices[faces]).sum() < 0:
        faces = faces[:, ::-1]
    return Mesh(vertices.astype(np.float32), np.ascontiguousarray(faces)), n_floaters


def _without_floaters(dense: Bool[np.ndarray, "n n n"], smallest_share: float) -> tuple[Bool[np.ndarray, "n n n"], int]:
    """The pieces that are large enough, and how many are not."""
    pieces = np.empty(dense.shape, dtype=np.int32)
    ndimage.label(dense, output=pieces)
    sizes = np.bincount(pieces.ravel())[1:]
    large = sizes >= smallest_share * sizes.max()
    return np.concatenate([[False], large])[pieces], int((~large).sum())


def solid_occupancy(occupied: Bool[np.ndarray, "n n n"]) -> Bool[np.ndarray, "n n n"]:
    """Occupied cells and all that they enclose: what cannot be reached from the border through faces of empty cells."""
    empty = np.pad(~occupied, 1, constant_values=True)
    regions = np.empty(empty.shape, dtype=np.int32)
    ndimage.label(empty, output=regions)
    return (regions != regions[0, 0, 0])[1:-1, 1:-1, 1:-1]

"""Surface normals of a density field, from differences of its density."""

import torch
from jaxtyping import Float
from torch import Tensor

from core.kinds import DensityField

# The corners of a regular tetrahedron: four looks give a gradient for which the axes would take six.
TETRAHEDRON = ((1.0, -1.0, -1.0), (-1.0, -1.0, 1.0), (-1.0, 1.0, -1.0), (1.0, 1.0, 1.0))


def outward_normals(
    field: DensityField, positions: Float[Tensor, "points 3"], step: float
) -> Float[Tensor, "points 3"]:
    """Unit vectors along which the density falls fastest; 0 where it does not change.

    Differences rather than autograd: they need no graph in validation, are as smooth as `step` is long, and carry a
    gradient to the field's parameters where a loss asks for one. They are taken of log(1 + density), which has the
    same direction but neither overflows inside of an object nor sees fog outside of it.

    Args:
        positions: in world space.
        step: distance from a point to the looks around it, in world units.
    """
    corners = positions.new_tensor(TETRAHEDRON) / 3**0.5
    around = positions[:, None] + step * corners
    density = torch.log1p(field.density(around.reshape(-1, 3)).view(-1, 4))
    # Without the mean, equal densities cancel exactly and not but for a rounding error, which has a direction too.
    downhill = (density.mean(dim=1, keepdim=True) - density) @ corners
    return torch.nn.functional.normalize(downhill, dim=-1, eps=1e-9)

"""Which shape guidance is shown: the mesh that is painted, or the sketch that is followed."""

from collections.abc import Sequence

import torch

from core.kinds import Geometry, Loss, Renderer, TexturedSurface
from core.types import ShapeLook
from renderers.mesh import MeshRenderer
from renderers.shape_views import ShownMesh
from systems.losses.sketch import SketchLoss


def shown_shape(geometry: Geometry, renderer: Renderer, losses: Sequence[Loss]) -> ShapeLook | None:
    """Looks at the painted mesh, else at the first sketch that a loss follows; None where there is neither."""
    if isinstance(geometry, TexturedSurface):
        backend = renderer.config.backend if isinstance(renderer, MeshRenderer) else "auto"
        return ShownMesh(geometry.vertices, geometry.faces, backend)
    for loss in losses:
        if isinstance(loss, SketchLoss):
            mesh = loss.sketch.mesh
            return ShownMesh(torch.from_numpy(mesh.vertices).float(), torch.from_numpy(mesh.faces))
    return None

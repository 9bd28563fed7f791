"""What cameras see of a mesh's shape: depth and normals, whatever is painted on it."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from core.types import Cameras, ShapeViews
from renderers.fragments import Rasterizer, at_points
from renderers.rasterize import RASTERIZERS


class ShownMesh:
    """A mesh that answers cameras, both sides of its faces seen. It prepares itself when it is first asked.

    Args:
        backend: of the rasterizer.
    """

    def __init__(
        self, vertices: Float[Tensor, "vertices 3"], faces: Int[Tensor, "faces 3"], backend: str = "auto"
    ) -> None:
        self._vertices, self._faces, self._backend = vertices, faces, backend
        self._rasterize: Rasterizer | None = None

    @torch.no_grad()
    def __call__(self, cameras: Cameras) -> ShapeViews:
        """One look through the centre of each pixel."""
        device = cameras.c2w.device
        if self._rasterize is None:
            self._vertices, self._faces = self._vertices.to(device), self._faces.to(device)
            self._rasterize = RASTERIZERS.choose(self._backend)(self._vertices, self._faces)
        found = self._rasterize(cameras)
        corners = self._vertices[self._faces[found.face.clamp_min(0)]]
        across = torch.linalg.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
        away = at_points(corners, found.barycentrics) - cameras.c2w[:, None, None, :3, 3]
        is_seen_from_behind = (across * away).sum(dim=-1, keepdim=True) > 0
        toward = F.normalize(torch.where(is_seen_from_behind, -across, across), dim=-1)
        axes = cameras.c2w[:, :3, :3]
        depth = -torch.einsum("vhwi,vi->vhw", away, axes[:, :, 2])
        normals = torch.einsum("vhwi,vij->vhwj", toward, axes)
        return ShapeViews(depth * found.mask, normals * found.mask[..., None])

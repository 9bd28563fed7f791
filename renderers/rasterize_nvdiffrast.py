"""nvdiffrast behind the rasterizer's promise; requirements-gpu.txt says how to install it and what its licence allows.

Its contract: `rasterize(context, positions, faces, (height, width))` takes clip-space positions (views, vertices, 4) in
float32 and faces in int32, and gives (views, height, width, 4) = (u, v, z/w, face + 1) with row 0 at the *bottom* of
the picture; a value at a point is u A_0 + v A_1 + (1 - u - v) A_2.

Source: Laine et al., Modular Primitives for High-Performance Differentiable Rendering (arXiv:2011.03277), and the
library's documentation.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.types import Cameras
from renderers.fragments import Fragments

#: Distances from the camera between which surfaces are seen, in world units.
NEAR, FAR = 0.01, 100.0


class NvdiffrastRasterizer:
    """Rasterises on the GPU that the cameras are on."""

    def __init__(
        self, vertices: Float[Tensor, "vertices 3"], faces: Int[Tensor, "faces 3"], library: Any = None
    ) -> None:
        """
        Args:
            library: what stands for `nvdiffrast.torch`; the library itself unless given.
        """
        if library is None:
            import nvdiffrast.torch as library  # pyright: ignore[reportMissingImports]
        self._library = library
        self._context: Any = None
        self._vertices, self._faces = vertices.detach(), faces

    def __call__(self, cameras: Cameras) -> Fragments:
        """One rasterisation of all views."""
        device = cameras.c2w.device
        if self._context is None:
            self._context = self._library.RasterizeCudaContext(device=device)
        vertices = self._vertices.to(device, torch.float32)
        homogeneous = torch.cat([vertices, torch.ones_like(vertices[:, :1])], dim=-1)
        clip = torch.einsum("vij,nj->vni", world_to_clip(cameras), homogeneous).contiguous()
        faces = self._faces.to(device, torch.int32).contiguous()
        found, _ = self._library.rasterize(self._context, clip, faces, (cameras.height, cameras.width))
        found = found.flip(1)  # row 0 to the top
        u, v, face = found[..., 0], found[..., 1], found[..., 3].round().long() - 1
        barycentrics = torch.stack([u, v, 1 - u - v], dim=-1) * (face >= 0)[..., None]
        return Fragments(face, barycentrics)


def world_to_clip(cameras: Cameras) -> Float[Tensor, "views 4 4"]:
    """OpenGL's projection times the view: visible points have x, y and z within [-w, w], +y is up in the picture."""
    c2w = cameras.c2w.float()
    turn = c2w[:, :3, :3].transpose(1, 2)
    view = torch.eye(4, device=c2w.device).repeat(len(c2w), 1, 1)
    view[:, :3, :3] = turn
    view[:, :3, 3] = -(turn @ c2w[:, :3, 3:])[..., 0]
    focal = 1 / (cameras.fovy_deg.float().deg2rad() / 2).tan()
    projection = torch.zeros_like(view)
    left, top, across, down = cameras.window
    # A window of the view fills the picture: clip coordinates are stretched around the window's middle.
    projection[:, 0, 0] = focal * (cameras.height / down) / (cameras.width / across) / across
    projection[:, 1, 1] = focal / down
    projection[:, 0, 2] = (2 * left + across - 1) / across
    projection[:, 1, 2] = -(2 * top + down - 1) / down
    projection[:, 2, 2] = -(FAR + NEAR) / (FAR - NEAR)
    projection[:, 2, 3] = -2 * FAR * NEAR / (FAR - NEAR)
    projection[:, 3, 2] = -1
    return projection @ view

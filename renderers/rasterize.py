"""Which face each ray of a camera meets first, and where on it: a table of backends behind one small promise.

The mesh is fixed, so nothing here has a gradient: all that learns is a texture, looked up at what is found here.

    raycast       embree on the CPU, runs anywhere; the default and the definition
    nvdiffrast    an NVIDIA GPU (rasterize_nvdiffrast.py)
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.backends import Backend, Backends
from core.cameras import camera_rays
from core.types import Cameras, TensorRecord


@dataclass(frozen=True)
class Fragments(TensorRecord):
    """What the rays through the centres of all pixels meet first."""

    face: Int[Tensor, "views height width"]
    """Index of the face, -1 where a ray meets none."""
    barycentrics: Float[Tensor, "views height width 3"]
    """Weights of the face's three corners, which sum to 1; 0 where a ray meets none."""

    @property
    def mask(self) -> Bool[Tensor, "views height width"]:
        """Where a face is met."""
        return self.face >= 0


#: A mesh that answers cameras, both sides of its faces seen; the fragments are on the cameras' device.
Rasterizer = Callable[[Cameras], Fragments]
#: What a backend is: it takes vertices (vertices, 3) and faces (faces, 3) and prepares them.
MakeRasterizer = Callable[[Tensor, Tensor], Rasterizer]


class RayCaster:
    """Rays through pixel centres against embree's tree, on the CPU."""

    def __init__(self, vertices: Float[Tensor, "vertices 3"], faces: Int[Tensor, "faces 3"]) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene  # pyright: ignore[reportAttributeAccessIssue]

        self._scene = EmbreeScene(robust=True)  # or rays slip between two faces along their common edge
        corners, indices = vertices.detach().cpu().numpy(), faces.cpu().numpy()
        TriangleMesh(self._scene, corners.astype(np.float32), indices.astype(np.int32))

    def __call__(self, cameras: Cameras) -> Fragments:
        """Cast one ray per pixel."""
        rays = camera_rays(cameras)
        shape = rays.directions.shape[:-1]
        origins, directions = (
            np.ascontiguousarray(part.reshape(-1, 3).cpu().numpy(), dtype=np.float32)
            for part in (rays.origins, rays.directions)
        )
        hit = self._scene.run(origins, directions, query="INTERSECT", output=True)
        u, v = torch.from_numpy(hit["u"]), torch.from_numpy(hit["v"])
        face = torch.from_numpy(hit["primID"]).long()
        barycentrics = torch.stack([1 - u - v, u, v], dim=-1) * (face >= 0)[:, None]
        return Fragments(face.view(shape), barycentrics.view(*shape, 3)).to(cameras.c2w.device)


def _missing_nvdiffrast() -> str | None:
    if importlib.util.find_spec("nvdiffrast") is None:
        return "nvdiffrast is not installed (see requirements-gpu.txt; its licence is non-commercial)"
    if not torch.cuda.is_available():
        return "nvdiffrast needs an NVIDIA GPU and torch sees none"
    return None


def _load_nvdiffrast() -> MakeRasterizer:
    from renderers.rasterize_nvdiffrast import NvdiffrastRasterizer

    return NvdiffrastRasterizer


RASTERIZERS: Backends[MakeRasterizer] = Backends(
    "rasterizer",
    (
        Backend("nvdiffrast", _load_nvdiffrast, _missing_nvdiffrast),
        Backend("raycast", lambda: RayCaster, lambda: None),
    ),
)


def at_points(
    corner_values: Float[Tensor, "points 3 channels"], barycentrics: Float[Tensor, "points 3"]
) -> Float[Tensor, "points channels"]:
    """Values given at a face's corners, at points on it: sum of b_i a_i."""
    return (corner_values * barycentrics[..., None]).sum(dim=-2)


def surface_footprint(
    distance: Float[Tensor, "points"],
    direction: Float[Tensor, "points 3"],
    normal: Float[Tensor, "points 3"],
    forward: Float[Tensor, "points 3"],
    pixel: Float[Tensor, "points"],
) -> Float[Tensor, "points"]:
    """Side of a square as large as the piece of surface that a pixel sees, in world units.

    A pixel of side p on the plane at distance 1 spans the solid angle p^2 cos^3(a), with a its ray's angle with the
    optical axis; at distance t, on a surface that the ray meets under the angle b with its normal, that is an area of
    t^2 p^2 cos^3(a) / cos(b). cos(b) counts as at least 0.1: a surface seen edge-on has no end.

    Args:
        direction, normal, forward: unit vectors: of the ray, of the face, and of the camera's optical axis.
        pixel: p, for each point's camera.
    """
    cos_a = (direction * forward).sum(dim=-1).clamp_min(0)
    cos_b = (direction * normal).sum(dim=-1).abs().clamp_min(0.1)
    return distance * pixel * (cos_a**3 / cos_b).sqrt()

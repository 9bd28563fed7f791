"""Rasterizers: which face each ray of a camera meets first, by one of two backends.

raycast       embree on the CPU, runs anywhere; the default and the definition
nvdiffrast    an NVIDIA GPU (rasterize_nvdiffrast.py)
"""

import importlib.util
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.backends import Backend, Backends
from core.cameras import camera_rays
from core.rays import RayTracer
from core.types import Cameras
from renderers.fragments import Fragments, Rasterizer

#: What a backend is: it takes vertices (vertices, 3) and faces (faces, 3) and prepares them.
MakeRasterizer = Callable[[Tensor, Tensor], Rasterizer]


class RayCaster:
    """Rays through pixel centres, on the CPU."""

    def __init__(self, vertices: Float[Tensor, "vertices 3"], faces: Int[Tensor, "faces 3"]) -> None:
        self._tracer = RayTracer(vertices.detach().cpu().numpy(), faces.cpu().numpy())

    def __call__(self, cameras: Cameras) -> Fragments:
        """Cast one ray per pixel."""
        rays = camera_rays(cameras)
        shape = rays.directions.shape[:-1]
        hits = self._tracer.first_hits(*(part.reshape(-1, 3).cpu().numpy() for part in (rays.origins, rays.directions)))
        face, barycentrics = torch.from_numpy(hits.face).view(shape), torch.from_numpy(hits.barycentric)
        return Fragments(face, barycentrics.view(*shape, 3)).to(cameras.c2w.device)


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

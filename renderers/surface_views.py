"""What cameras see of a mesh, before any texture is on it: drawn once per camera, and ahead of time where asked.

The mesh does not move, so a view of it is the same whenever it is drawn: a pool of cameras is drawn by a thread while
the training has begun, and whoever needs a view that is not there yet draws it.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from core.kinds import TexturedSurface
from core.types import Cameras, TensorRecord
from renderers.fragments import Fragments, Rasterizer, at_points, surface_footprint


@dataclass(frozen=True)
class SurfaceView(TensorRecord):
    """The points of a mesh that one camera sees, several in each pixel (supersampling)."""

    hit: Bool[Tensor, "rows columns"]
    """Which points of the finer grid meet the mesh: those told of here, row by row."""
    pixel: Int[Tensor, "points"]
    """In which pixel, counted row by row, each of them lies."""
    uv: Float[Tensor, "points 2"]
    footprint: Float[Tensor, "points"]
    """Side, in UV units, of the square of texture that stands for the point."""
    distance: Float[Tensor, "points"]
    """From the camera, in world units."""
    normal: Float[Tensor, "points 3"]
    """Of the face, outward, of unit length."""


def draw_views(surface: TexturedSurface, rasterizer: Rasterizer, cameras: Cameras, finer: int) -> list[SurfaceView]:
    """What each camera sees.

    Args:
        finer: points along each side of a pixel.
    """
    fine = cameras.resized(finer * cameras.height, finer * cameras.width)
    found = rasterizer(fine)
    pixel = torch.arange(cameras.height * cameras.width, device=found.face.device).view(cameras.height, cameras.width)
    pixel = pixel.repeat_interleave(finer, dim=0).repeat_interleave(finer, dim=1)
    return [_view(surface, fine[i : i + 1], found, i, pixel) for i in range(len(cameras))]


def _view(
    surface: TexturedSurface, camera: Cameras, found: Fragments, index: int, pixel: Int[Tensor, "rows columns"]
) -> SurfaceView:
    mask = found.mask[index]
    face, barycentrics = found.face[index][mask], found.barycentrics[index][mask]
    corners, corner_uv = surface.vertices[surface.faces[face]], surface.corner_uv[face]
    normal = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    edges = corner_uv[:, 1:] - corner_uv[:, :1]
    twice_uv_area = (edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]).abs()
    uv_per_world = (twice_uv_area / normal.norm(dim=-1).clamp_min(1e-20)).sqrt()
    normal = F.normalize(normal, dim=-1)
    toward = at_points(corners, barycentrics) - camera.c2w[0, :3, 3]
    direction = F.normalize(toward, dim=-1)
    distance = toward.norm(dim=-1)
    pixel_side = 2 * (camera.fovy_deg.deg2rad() / 2).tan() * camera.window[3] / camera.height
    forward = -camera.c2w[:, :3, 2].expand_as(direction)
    side = surface_footprint(distance, direction, normal, forward, pixel_side.expand_as(distance))
    uv = at_points(corner_uv, barycentrics)
    return SurfaceView(mask, pixel[mask], uv, side * uv_per_world, distance, normal)


class ViewPool:
    """Views of a mesh that are kept, by their cameras; several threads may draw."""

    def __init__(self, rasterizer: Rasterizer, finer: int) -> None:
        self.rasterizer, self.finer = rasterizer, finer
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._kept: dict[bytes, SurfaceView] = {}
        self._coordinates = (0, 0)

    def views(self, surface: TexturedSurface, cameras: Cameras) -> list[SurfaceView]:
        """What each camera sees: as kept, else drawn now and not kept."""
        keys = self._keys(surface, cameras)
        kept = [self._kept.get(key) for key in keys]
        if all(view is not None for view in kept):
            return [view.to(cameras.c2w.device) for view in kept if view is not None]
        return draw_views(surface, self.rasterize, cameras, self.finer)

    def draw(self, surface: TexturedSurface, cameras: Cameras) -> None:
        """Draw cameras one by one and keep what they see."""
        for i in range(len(cameras)):
            camera = cameras[i : i + 1]
            (view,) = draw_views(surface, self.rasterize, camera, self.finer)
            self._kept[self._keys(surface, camera)[0]] = view

    def draw_ahead(self, surface: TexturedSurface, cameras: Cameras) -> threading.Thread:
        """Draw cameras in a thread, until `end`.

        The program waits for it at its end: a thread that is cut off within a ray caster takes the process down.
        """
        self._ended.clear()

        def draw_until_ended() -> None:
            for i in range(len(cameras)):
                if self._ended.is_set():
                    return
                self.draw(surface, cameras[i : i + 1])

        thread = threading.Thread(target=draw_until_ended, name="views drawn ahead")
        thread.start()
        return thread

    def end(self) -> None:
        """Draw no more ahead; the view that is being drawn is the last."""
        self._ended.set()

    def rasterize(self, cameras: Cameras) -> Fragments:
        """One thread at a time: nvdiffrast's context is made at the first call and holds the buffers of the last."""
        with self._lock:
            return self.rasterizer(cameras)

    def _keys(self, surface: TexturedSurface, cameras: Cameras) -> Sequence[bytes]:
        """A name for each camera and its picture's size; what was kept for other texture coordinates is forgotten."""
        coordinates = surface.corner_uv.data_ptr(), surface.corner_uv._version  # torch counts changes in place
        if coordinates != self._coordinates:
            self._kept.clear()
            self._coordinates = coordinates
        return _camera_keys(cameras)


def _camera_keys(cameras: Cameras) -> Sequence[bytes]:
    """A name for each camera and its picture's size."""
    numbers = torch.cat([cameras.c2w.flatten(1), cameras.fovy_deg[:, None]], dim=1).detach().float().cpu().numpy()
    size = f"{cameras.height}x{cameras.width}@{cameras.window}:".encode()
    return [size + row.tobytes() for row in numbers]

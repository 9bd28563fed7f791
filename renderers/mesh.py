"""`rasterizer`: pictures of a mesh with a texture of latents or RGB.

A pixel is the mean over a few points in it, each looked up in the texture's mip pyramid: edges of the object are as
soft as in an area-averaged picture, and a texture seen from afar does not flicker.
"""

import logging
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from core.cameras import camera_rays
from core.errors import UserError, require
from core.kinds import Background, Encode, Geometry, Renderer, TexturedSurface
from core.memory import recomputed
from core.part import names
from core.types import Cameras, RenderOutput, ShapeLook
from renderers.compositing import over_background, seen_behind
from renderers.outline import MOST_POINTS, EncodedOutline
from renderers.rasterize import RASTERIZERS
from renderers.shape_views import ShownMesh
from renderers.surface_views import SurfaceView, ViewPool

log = logging.getLogger(__name__)

#: Points that are looked up in the texture at once where memory is short: some 10 MB.
FEWER_AT_ONCE = 2**16


class MeshRenderer(Renderer, name="rasterizer"):
    """A textured mesh, both sides of its faces seen; only the texture has a gradient."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the mesh renderer."""

        backend: Literal["auto", "raycast", "nvdiffrast"] = "raycast"
        """`raycast` runs anywhere, `nvdiffrast` on NVIDIA cards alone, `auto` takes nvdiffrast where it can run."""
        points_per_side: int = 2
        """Points along each side of a pixel, whose mean it shows."""
        outline: Literal["mixed", "encoded"] = "mixed"
        """What pixels show that the mesh covers in part: `mixed`, object and background by their shares; `encoded`,
        what the diffusion model's autoencoder makes of such pixels, which is another thing (renderers/outline.py). With
        it and `start: lit`, 24 of 27 parts of six toybox meshes got their own colours, 21 with neither (one seed)."""

        def __post_init__(self) -> None:
            most = MOST_POINTS if self.outline == "encoded" else 16
            told = f"from 1 to {most} with outline: {self.outline}, got {self.points_per_side}"
            require(1 <= self.points_per_side <= most, f"points_per_side: {told}")

    def __init__(self, config: Config, geometry: Geometry) -> None:
        super().__init__()
        self.config = config
        surface = _textured_surface(geometry)
        rasterizer = RASTERIZERS.choose(config.backend)(surface.vertices, surface.faces)
        self.pool = ViewPool(rasterizer, config.points_per_side)
        encoded = config.outline == "encoded"
        self.outline = EncodedOutline(surface.n_channels, config.points_per_side) if encoded else None
        self._placement = surface.setting("placement")
        self._takes_less = False

    def take_less_memory(self) -> bool:
        """Draw views one by one, look fewer points up in the texture at once, and again for the gradient."""
        is_new, self._takes_less = not self._takes_less, True
        return is_new

    def forward(
        self, geometry: Geometry, background: Background, cameras: Cameras, rng: Generator, with_normals: bool = False
    ) -> RenderOutput:
        """Render all views; `rng` goes to the background, nothing else is random."""
        surface = _textured_surface(geometry)
        apart = [cameras[i : i + 1] for i in range(len(cameras))] if self._takes_less else [cameras]
        views = [view for some in apart for view in self.pool.views(surface, some)]
        foreground = self._in_pixels(self._looked_up(surface, views), views, cameras)
        distance = torch.cat([view.distance for view in views])
        counted = torch.stack([torch.ones_like(distance), distance], dim=-1)
        opacity, reach = self._in_pixels(counted, views, cameras).unbind(dim=-1)
        normals = None
        if with_normals:
            normals = self._in_pixels(torch.cat([view.normal for view in views]), views, cameras)
        behind = seen_behind(background, camera_rays(cameras).directions, rng, foreground)
        latents = over_background(foreground, opacity, behind)
        if self.outline is not None:
            hit = torch.stack([view.hit for view in views])
            latents = latents + self.outline(foreground, opacity, behind, hit)
        return RenderOutput(
            latents=latents,
            opacity=opacity,
            depth=reach / opacity.clamp_min(torch.finfo(opacity.dtype).eps),
            normals=normals,
            foreground=foreground,
            samples=None,
            background=behind,
        )

    def shape(self, geometry: Geometry) -> ShapeLook:
        """The mesh, whatever is painted on it, seen by the same backend."""
        surface = _textured_surface(geometry)
        return ShownMesh(surface.vertices, surface.faces, self.config.backend)

    def draw_ahead(self, geometry: Geometry, cameras: Cameras, wait: bool = False) -> None:
        """Find what the cameras see of the mesh, and keep it."""
        if wait:
            self.pool.draw(_textured_surface(geometry), cameras)
        else:
            self.pool.draw_ahead(_textured_surface(geometry), cameras)

    def stop_drawing_ahead(self) -> None:
        """Leave the cameras undrawn that have not been drawn by now."""
        self.pool.end()

    def learn_encoding(self, encode: Encode, cameras: Cameras, picture_size: int, rng: Generator) -> None:
        """Learn what the autoencoder makes of the mesh's outlines, unless a checkpoint has brought it."""
        if self.outline is None or bool(self.outline.is_fitted):
            return
        explained = self.outline.fit_to_views(self.pool.rasterize, encode, cameras, picture_size, rng)
        if explained is None:
            log.warning("outlines: no view shows the mesh's, so they stay mixed; look at %s", self._placement)
        else:
            log.info(
                "outlines: fitted to the autoencoder, which makes up for %.0f%% of plain mixing's error",
                100 * explained,
            )

    def _looked_up(self, surface: TexturedSurface, views: list[SurfaceView]) -> Float[Tensor, "points channels"]:
        """What the texture has at the points of all views."""
        uv, footprint = torch.cat([view.uv for view in views]), torch.cat([view.footprint for view in views])

        def look(points: Tensor) -> Tensor:
            seen = surface(points[:, :2], points[:, 2])
            if not isinstance(seen, Tensor) or seen.shape != (len(points), surface.n_channels):
                raise surface.wrong_result(seen, f"forward: one of shape {(len(points), surface.n_channels)}")
            return seen

        points = torch.cat([uv, footprint[:, None]], dim=1)
        return torch.cat(recomputed(look, points, FEWER_AT_ONCE)) if self._takes_less else look(points)

    def _in_pixels(
        self, values: Float[Tensor, "points channels"], views: list[SurfaceView], cameras: Cameras
    ) -> Float[Tensor, "views height width channels"]:
        """Means over each pixel's points; those that meet nothing count as 0."""
        n_pixels = cameras.height * cameras.width
        place = torch.cat([view.pixel + i * n_pixels for i, view in enumerate(views)])
        sums = values.new_zeros(len(views) * n_pixels, values.shape[-1]).index_add(0, place, values)
        means = sums / self.config.points_per_side**2
        return means.view(len(views), cameras.height, cameras.width, -1)


def _textured_surface(geometry: Geometry) -> TexturedSurface:
    """The geometry, if this renderer can show it."""
    if not isinstance(geometry, TexturedSurface):
        raise UserError(
            f"renderer 'rasterizer' shows textured surfaces ({', '.join(names('geometry', TexturedSurface))}), "
            f"'{geometry.part_name}' is none"
        )
    return geometry

"""`latent-paint`: a given mesh gets a texture of latents, made by score distillation.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.4.
"""

import dataclasses
import logging
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from core.errors import UserError, require
from core.kinds import TexturedSurface
from core.part import Choice
from core.schedule import Schedule
from core.types import Cameras
from geometry.textured_mesh import TexturedMesh
from renderers.mesh import MeshRenderer
from systems.base import LightningSystem
from systems.continuation import check_same_latents, same_latents
from systems.first_pictures import lit_pictures, own_pictures
from systems.outline_fit import fit_outline
from systems.random_streams import stream
from systems.texture_fit import VIEWS_AT_ONCE, fitted_texture
from systems.views import random_views

log = logging.getLogger(__name__)

#: Views of another painting that a texture of colours begins with.
N_TAKEN_VIEWS = 32
#: Views of the mesh whose outlines are encoded to learn how that is done.
N_OUTLINES = 16


@dataclass(frozen=True)
class PaintLosses:
    """Weights of the loss terms."""

    sds: Schedule = field(default_factory=lambda: Schedule.constant(1.0))
    """Guidance: the prompt."""


class LatentPaint(LightningSystem, name="latent-paint"):
    """A texture for a given mesh from a prompt; the mesh itself stays as it is."""

    @dataclass(frozen=True)
    class Config(LightningSystem.Config):
        """Settings of Latent-Paint."""

        geometry: Choice[TexturedSurface]
        """The mesh and its texture."""
        losses: PaintLosses = field(default_factory=PaintLosses)
        """Weights of the loss terms."""
        pool_size: int = 256
        """Cameras that training views are drawn from, about; what they see of the mesh is found once, ahead of time.
        0: new cameras at every step."""

        def __post_init__(self) -> None:
            require(self.pool_size >= 0, f"pool_size: at least 0, got {self.pool_size}")
            same = Schedule.constant(1.0)
            moving = [name for name in ("spread", "opened") if getattr(self.cameras, name) != same]
            require(
                not (self.pool_size and moving),
                f"pool_size: a pool is drawn once, so cameras.{' and cameras.'.join(moving)} would do nothing; "
                "say pool_size: 0",
            )

    def __init__(self, config: Any, prompt: str, seed: int, total_steps: int) -> None:
        super().__init__(config, prompt, seed, total_steps)
        self._pool_cameras: Cameras | None = None

    def prepare(self) -> None:
        """Beside what every system does: outlines and the texture's first look, unless a checkpoint has them."""
        super().prepare()
        self._fit_outline()
        surface = self.geometry
        if not isinstance(surface, TexturedMesh) or bool(surface.is_started):
            return
        first = {"own-texture": own_pictures, "lit": lit_pictures}.get(surface.config.start)
        if first is None:
            surface.start_from(self._first_texel(surface))
            return
        cameras = self.surrounding_cameras(N_TAKEN_VIEWS, self.guidance.picture_size)
        pictures = first(surface, self.config.renderer, cameras)
        with torch.no_grad():
            latents = torch.cat([self.guidance.encode(few) for few in pictures.split(VIEWS_AT_ONCE)])
        self._fit(surface, cameras, latents)

    def on_fit_start(self) -> None:
        """Begin to draw the pool."""
        super().on_fit_start()
        surface, renderer = self.geometry, self.renderer
        if self.config.pool_size and isinstance(renderer, MeshRenderer) and isinstance(surface, TexturedSurface):
            renderer.pool.draw_ahead(surface, self._pool())

    def on_fit_end(self) -> None:
        """A training that is shorter than its pool leaves the rest undrawn."""
        if isinstance(self.renderer, MeshRenderer):
            self.renderer.pool.end()

    def training_cameras(self, step: int, rng: Generator) -> Cameras:
        """Cameras of the pool, each from a sector of its own, so that every step sees all sides."""
        if not self.config.pool_size:
            return super().training_cameras(step, rng)
        pool, n_views = self._pool(), self.views.n_views
        if self.guidance.known_cameras is not None:
            return pool.chosen(torch.randint(len(pool), (n_views,), generator=rng, device=rng.device))
        n_each = len(pool) // n_views
        within = torch.randint(n_each, (n_views,), generator=rng, device=rng.device)
        return pool.chosen(torch.arange(n_views, device=rng.device) * n_each + within)

    def losses(self, cameras: Cameras, step: int, rng: Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The one term: guidance. The background is behind the object and never part of the texture."""
        render = self.renderer(self.geometry, self.background, cameras, rng)
        guidance = self.guidance(render.latents, cameras, step, self.total_steps, rng)
        return {"sds": guidance.loss}, {"opacity": render.opacity.detach().mean(), **guidance.metrics}

    def take_over(self, other: LightningSystem) -> None:
        """Begin with another painting of the same mesh: its texture, or, for another kind or size, its decoded views.

        Raises:
            UserError: it is no painting, of another mesh, or of the latents of another model.
        """
        mine, theirs = self.geometry, other.geometry
        if not isinstance(mine, TexturedMesh) or not isinstance(theirs, TexturedMesh):
            raise UserError(f"--from: a painting goes on from a painting; that run has made a '{theirs.part_name}'")
        same = torch.equal(mine.faces, theirs.faces) and mine.vertices.shape == theirs.vertices.shape
        same = same and torch.allclose(mine.vertices, theirs.vertices, atol=1e-5, equal_nan=True)
        if not same:
            raise UserError(f"--from: that run has painted another mesh ({theirs.config.path}), or placed it otherwise")
        if not (self.decodes_points or other.decodes_points):
            check_same_latents(self.guidance, other.guidance, "system.guidance")
        mine.set_uv(theirs.corner_uv)  # an atlas may have been packed for another size
        if isinstance(self.renderer, MeshRenderer):
            self.renderer.pool.forget()
        if mine.texture.shape == theirs.texture.shape and same_latents(self.guidance, other.guidance):
            mine.restart(theirs.whole_texture().detach())
            return
        cameras = other.surrounding_cameras(N_TAKEN_VIEWS, other.guidance.latent_size)
        pictures = self.guidance.encode(other.decode(other.render(cameras).latents))
        self._fit(mine, cameras, pictures)

    def _fit_outline(self) -> None:
        """Learn how outlines are encoded, where the renderer asks for it and no checkpoint has brought it.

        Colours are not encoded and mix as light does: there is nothing to learn.
        """
        renderer = self.renderer
        if not isinstance(renderer, MeshRenderer) or renderer.outline is None or bool(renderer.outline.is_fitted):
            return
        if self.decodes_points:
            return
        cameras = self.surrounding_cameras(N_OUTLINES, self._latent_size)
        explained = fit_outline(renderer.outline, renderer.pool.rasterize, self.guidance, cameras, self.seed)
        if explained is None:
            log.warning("outlines: no view shows the mesh's, so they stay mixed; look at system.geometry.placement")
        else:
            log.info("outlines: %.0f%% of what the autoencoder makes of them is explained", 100 * explained)

    def _fit(
        self, surface: TexturedMesh, cameras: Cameras, pictures: Float[Tensor, "views height width channels"]
    ) -> None:
        """Make the texture show what pictures show, in the channels that are painted."""
        cameras = cameras.resized(pictures.shape[1], pictures.shape[2])
        if isinstance(self.renderer, MeshRenderer):
            self.renderer.pool.draw(surface, cameras)  # they are looked at again and again
        size = surface.config.texture_size
        texture, error = fitted_texture(surface, self.renderer, cameras, pictures, size)
        surface.restart(texture)
        log.info("texture fitted to %d views: error %.3f", len(cameras), error)

    def _pool(self) -> Cameras:
        """The cameras of the pool, sorted by azimuth; those that guidance knows, where it knows no others."""
        if self._pool_cameras is None:
            known = self.guidance.known_cameras
            if known is not None:
                self._pool_cameras = known.to(self.device).resized(self._latent_size, self._latent_size)
            else:
                n_each = max(1, self.config.pool_size // self.views.n_views)
                views = dataclasses.replace(self.views, n_views=n_each * self.views.n_views)
                self._pool_cameras = random_views(views, self._latent_size, stream(self.seed, "pool", 0, self.device))
        return self._pool_cameras

    @torch.no_grad()
    def _first_texel(self, surface: TexturedMesh) -> Float[Tensor, "channels"]:
        """The colour that painting starts from: the latents in the middle of its flat picture."""
        size = self.guidance.picture_size
        flat = torch.tensor(surface.config.start_color, device=self.device).expand(1, size, size, 3)
        latents = self.guidance.encode(flat)[0]
        return latents[latents.shape[0] // 2, latents.shape[1] // 2]

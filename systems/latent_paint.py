"""`latent-paint`: a given mesh gets a texture of latents, made by score distillation.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.4.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor

from core.errors import require
from core.kinds import TexturedSurface
from core.part import Choice
from core.schedule import Schedule
from core.types import Cameras
from geometry.textured_mesh import TexturedMesh
from renderers.mesh import MeshRenderer
from systems.base import LightningSystem
from systems.random_streams import stream
from systems.views import random_views


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

    def __init__(self, config: Any, prompt: str, seed: int, total_steps: int) -> None:
        super().__init__(config, prompt, seed, total_steps)
        self._pool_cameras: Cameras | None = None

    def prepare(self) -> None:
        """Beside what every system does: the texture's first look, unless a checkpoint has brought one."""
        super().prepare()
        surface = self.geometry
        if isinstance(surface, TexturedMesh) and not bool(surface.is_started):
            surface.start_from(self._first_texture(surface))

    def on_fit_start(self) -> None:
        """Begin to draw the pool."""
        super().on_fit_start()
        surface, renderer = self.geometry, self.renderer
        if self.config.pool_size and isinstance(renderer, MeshRenderer) and isinstance(surface, TexturedSurface):
            renderer.pool.draw_ahead(surface, self._pool())

    def training_cameras(self, rng: Generator) -> Cameras:
        """Cameras of the pool, each from a sector of its own, so that every step sees all sides."""
        if not self.config.pool_size:
            return super().training_cameras(rng)
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
    def _first_texture(self, surface: TexturedMesh) -> Float[Tensor, "channels"]:
        """The colour that painting starts from: the latents in the middle of its flat picture."""
        size = self.guidance.picture_size
        flat = torch.tensor(surface.config.start_color, device=self.device).expand(1, size, size, 3)
        latents = self.guidance.encode(flat)[0]
        return latents[latents.shape[0] // 2, latents.shape[1] // 2]

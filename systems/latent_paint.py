"""`latent-paint`: a given mesh gets a texture of latents, made by score distillation.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.4.
"""

import logging
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from core.chance import stream
from core.kinds import FirstLook, TexturedSurface
from core.part import Choice
from core.types import Cameras
from guidance.same_latents import check_same_latents, same_latents
from systems.base import LightningSystem
from systems.first_look import first_look_pictures
from systems.texture_fit import VIEWS_AT_ONCE, fitted_texture

log = logging.getLogger(__name__)

#: Views of another painting, or of a first look, that a texture is fitted to.
N_FITTED_VIEWS = 32
#: Views of the mesh whose outlines are encoded to learn how that is done.
N_OUTLINES = 16


class LatentPaint(LightningSystem, name="latent-paint"):
    """A texture for a given mesh from a prompt; the mesh itself stays as it is."""

    geometry: TexturedSurface
    settings_of_jobs = MappingProxyType({"shape": "system.geometry.path", "texture": "system.geometry.start"})

    @dataclass(frozen=True)
    class Config(LightningSystem.Config):
        """Settings of Latent-Paint."""

        geometry: Choice[TexturedSurface]
        """The mesh and its texture."""

    def set_up(self) -> None:
        """Beside what every system does: outlines and the texture's first look, unless a checkpoint has them."""
        super().set_up()
        if not self.guidance.decodes_pixelwise:  # colours are not encoded and mix as light does: nothing to learn
            cameras = self.surrounding_cameras(N_OUTLINES, self._latent_size)
            rng = stream(self.seed, "outline", 0, self.device)
            self.renderer.learn_encoding(self.guidance.encode, cameras, self.guidance.picture_size, rng)
        look = self.geometry.first_look()
        if look is None:
            return
        if not look.is_lit and look.texture.shape[:2] == (1, 1):
            self.geometry.restart(self._flat_texel(look))
            return
        cameras = self.surrounding_cameras(N_FITTED_VIEWS, self.guidance.picture_size)
        pictures = first_look_pictures(self.geometry, look, self.config.renderer, cameras)
        with torch.no_grad():
            latents = torch.cat([self.guidance.encode(few) for few in pictures.split(VIEWS_AT_ONCE)])
        self._fit(cameras, latents)

    def take_result(self, other: LightningSystem) -> None:
        """Begin with another painting of the same mesh: its texture, or, for another kind or size, its decoded views.

        Raises:
            UserError: it is no painting, of another mesh, or of the latents of another model.
        """
        mine, theirs = self.geometry, other.geometry
        if not (self.guidance.decodes_pixelwise or other.guidance.decodes_pixelwise):
            check_same_latents(self.guidance, other.guidance)
        mine.start_from(theirs)
        assert isinstance(theirs, TexturedSurface)  # as start_from has checked
        same_size = (mine.texture_size, mine.n_channels) == (theirs.texture_size, theirs.n_channels)
        if same_size and same_latents(self.guidance, other.guidance):
            return
        cameras = other.surrounding_cameras(N_FITTED_VIEWS, other.guidance.latent_size)
        pictures = self.guidance.encode(other.decode(other.render(cameras).latents))
        self._fit(cameras, pictures)

    def _fit(self, cameras: Cameras, pictures: Float[Tensor, "views height width channels"]) -> None:
        """Make the texture show what pictures show, in the channels that are painted."""
        cameras = cameras.resized(pictures.shape[1], pictures.shape[2])
        size = self.geometry.texture_size
        texture, error = fitted_texture(self.geometry, self.renderer, cameras, pictures, size)
        self.geometry.restart(texture)
        log.info("first texture: fitted to %d views, root mean square error %.3f", len(cameras), error)

    @torch.no_grad()
    def _flat_texel(self, look: FirstLook) -> Float[Tensor, "channels"]:
        """The latents of one flat colour: those in the middle of its picture."""
        size = self.guidance.picture_size
        latents = self.guidance.encode(look.texture.to(self.device).expand(1, size, size, 3))[0]
        return latents[latents.shape[0] // 2, latents.shape[1] // 2]

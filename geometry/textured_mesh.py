"""`textured-mesh`: a mesh from a file, which stays as it is, and a texture of latents (or RGB) that is painted.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.4 (Latent-Paint).
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from core.errors import UserError, did_you_mean, require
from core.kinds import FirstLook, Geometry, TexturedSurface
from core.types import LinearColour
from geometry.load_surface import check_surface_file, load_surface
from geometry.mip_texture import sample_mip
from geometry.own_texture import (
    OWN_TEXTURE_SIZE,
    PICTURES,
    only_picture,
    own_look,
    read_given_texture,
    read_picture,
)
from geometry.placement import Placement, seen_vertices
from geometry.texels import texels_of_corners
from geometry.texture_layout import atlas_uv, painted_sets
from geometry.texture_sets import painted_faces

log = logging.getLogger(__name__)

Color = tuple[float, float, float]


class TexturedMesh(TexturedSurface, name="textured-mesh"):
    """A fixed mesh from a file and a learnable texture on it."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the textured mesh."""

        MOVED: ClassVar[Mapping[str, str]] = {"piece_learning_rate": "learning_rate"}

        path: Path
        """The mesh: obj, ply, stl, glb, gltf or off."""
        placement: Placement = field(default_factory=Placement)
        """How it is turned, moved and scaled to be seen; written files keep its own coordinates."""
        front_azimuth_deg: float = 0.0
        """From which side its front is seen, after its placement: 0 is +z, 90 is +x."""
        texture_size: int = 128
        """Texels along each side, a power of 2; about twice the guidance's latent size."""
        uv: Literal["auto", "own", "atlas"] = "auto"
        """Texture coordinates. `own`: the file's, even if faces overlap (they then share colours); `atlas`: new ones;
        `auto`: the file's if usable without overlap, else a new atlas."""
        start: Literal["color", "lit", "own-texture"] | Path = "color"
        """What the texture shows at first: one colour; that colour in light (`lit`), which shows where the mesh has
        edges; the file's own texture; or a picture of your own (its path), laid on the file's own texture coordinates.
        With `lit` and the rasterizer's `outline: encoded`, 24 of 27 parts of six toybox meshes got their own colours,
        21 with neither (one seed)."""
        start_color: Color = (0.5, 0.5, 0.5)
        """That colour, RGB in [0, 1]."""
        materials: tuple[str, ...] = ()
        """Names of the materials that are painted; the others stay as they are, and are seen so. Empty: all."""
        learning_rate: float = 1e-2
        """Adam's rate."""
        max_faces: int = 200_000
        """A mesh with more faces is refused when it needs a new atlas."""
        unwrap_limit_s: float = 120.0
        """Seconds after which unwrapping is given up."""

        def __post_init__(self) -> None:
            size = self.texture_size
            require(16 <= size <= 4096 and size.bit_count() == 1, f"texture_size: 16, 32, 64 ... 4096, got {size}")
            if isinstance(self.start, Path):
                instead = did_you_mean(str(self.start), ("color", "lit", "own-texture"))
                require(self.start.suffix.lower() in PICTURES, f"start: '{self.start}' is no picture. {instead}")
            require(all(0 <= c <= 1 for c in self.start_color), f"start_color: from 0 to 1, got {self.start_color}")
            for name in ("learning_rate", "max_faces", "unwrap_limit_s"):
                require(getattr(self, name) > 0, f"{name}: above 0, got {getattr(self, name)}")
            require(self.unwrap_limit_s < 1e6, f"unwrap_limit_s: below a million, got {self.unwrap_limit_s:g}")

    is_started: Tensor
    kept_texels: Tensor  # of what is not painted
    kept_texture: Tensor
    has_kept_texture: Tensor

    def __init__(self, config: Config, n_channels: int) -> None:
        """Read the mesh, and unwrap it where its own texture coordinates cannot be used.

        Raises:
            UserError: naming the file and what is wrong with it.
        """
        super().__init__()
        self.config = config
        self.n_channels = n_channels
        self.mesh = load_surface(config.path)
        painted = painted_faces(self.mesh, config.materials)
        self.sets = painted_sets(self.mesh, painted, config.uv, self.setting("uv"))
        self.is_in_one_texture = len(self.sets) == 1 and bool(painted.all())
        own = self.mesh.corner_uv if self.is_in_one_texture and self.sets[0].fault is None else None
        sizes = (config.texture_size, config.max_faces, config.unwrap_limit_s)
        corner_uv = atlas_uv(self.mesh, *sizes) if own is None else own
        seen = seen_vertices(self.mesh, config.placement, config.front_azimuth_deg)
        extent = np.ptp(seen[np.unique(self.mesh.faces)], axis=0)
        turned = "placement.up_axis and front_azimuth_deg turn it"
        log.info("%s: seen %.2f wide, %.2f high, %.2f deep; %s", config.path.name, *extent, turned)
        self.register_buffer("vertices", torch.from_numpy(seen).float(), persistent=False)
        self.register_buffer("faces", torch.from_numpy(self.mesh.faces), persistent=False)
        # Kept with the texture, which means nothing without them.
        self.register_buffer("corner_uv", torch.from_numpy(corner_uv).float())
        self.register_buffer("is_started", torch.tensor(False))
        self.texture = nn.Parameter(torch.zeros(config.texture_size, config.texture_size, n_channels))
        self._kept = None if painted.all() else ~painted
        if self._kept is not None:
            self.register_buffer("kept_texels", self._kept_texels())
            self.register_buffer("kept_texture", torch.zeros_like(self.texture))
            self.register_buffer("has_kept_texture", torch.tensor(False))

    @classmethod
    def check_files(cls, config: Config) -> None:
        """The mesh must be one, have the materials that are named, and the pictures that are to be seen."""
        check_surface_file(config.path, config.materials, config.start == "own-texture")

    @property
    def texture_size(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Texels along each side."""
        return self.config.texture_size

    @property
    def uses_own_uv(self) -> bool:
        """Whether the texture lies where the file's own coordinates say.

        Asked of the coordinates themselves, since a checkpoint or another painting brings its own along.
        """
        own = self.mesh.corner_uv
        return own is not None and torch.equal(self.corner_uv.cpu(), torch.from_numpy(own).float())

    def forward(
        self, uv: Float[Tensor, "points 2"], footprint: Float[Tensor, "points"]
    ) -> Float[Tensor, "points channels"]:
        """The texture between its texels, averaged over the footprint."""
        return sample_mip(self.whole_texture(), uv, footprint)

    def whole_texture(self) -> Float[Tensor, "size size channels"]:
        """The texture that is seen: the one that is painted, and what is kept of the materials that are not."""
        if self._kept is None:
            return self.texture
        return torch.where(self.kept_texels[..., None], self.kept_texture, self.texture)

    @property
    def painted(self) -> Bool[np.ndarray, "faces"]:
        """Which faces are."""
        return np.ones(len(self.mesh.faces), bool) if self._kept is None else ~self._kept

    @torch.no_grad()
    def set_uv(self, corner_uv: Float[Tensor, "faces 3 2"]) -> None:
        """Take other texture coordinates."""
        is_new = not torch.equal(self.corner_uv, corner_uv.to(self.corner_uv))
        self.corner_uv.copy_(corner_uv)
        if self._kept is not None and is_new:
            self.kept_texels.copy_(self._kept_texels())
            self.has_kept_texture.fill_(False)

    def first_look(self) -> FirstLook | None:
        """What the recipe says it begins with; None where a checkpoint has brought a texture.

        Raises:
            UserError: the file's own texture is asked for, and it came with none that can be used.
        """
        if bool(self.is_started):
            return None
        start, given = self.config.start, None
        if start in ("color", "lit") and self._kept is None:
            return FirstLook(torch.tensor(self.config.start_color)[None, None], is_lit=start == "lit")
        if isinstance(start, Path):
            given = read_given_texture(self.mesh, start, OWN_TEXTURE_SIZE)
            if self._kept is None and self.mesh.corner_uv is not None:
                return FirstLook(given, torch.from_numpy(self.mesh.corner_uv).float())
        elif self.is_in_one_texture and (own := only_picture(self.mesh)) and self.mesh.corner_uv is not None:
            picture = read_picture(self.mesh.file.path, own, OWN_TEXTURE_SIZE)
            return FirstLook(picture, torch.from_numpy(self.mesh.corner_uv * own.scale + own.offset).float())
        shows_own = ~self.painted if start != "own-texture" else np.ones_like(self.painted)
        layout = self.corner_uv.cpu().double().numpy()
        picture = own_look(self.mesh, shows_own, self.config.start_color, layout, OWN_TEXTURE_SIZE, given)
        return FirstLook(picture, is_lit=start == "lit", is_own=self.texels_of(shows_own, OWN_TEXTURE_SIZE).bool())

    @torch.no_grad()
    def start_from(self, other: Geometry, colour: LinearColour | None = None) -> None:
        """Take another painting's texture coordinates, and its texture where it has this one's size and channels.

        Raises:
            UserError: it has painted another mesh.
        """
        if not isinstance(other, TexturedMesh):
            raise UserError(f"--from: a painting goes on from a painting; that run has made a '{other.part_name}'")
        same = torch.equal(self.faces, other.faces) and self.vertices.shape == other.vertices.shape
        same = same and torch.allclose(self.vertices, other.vertices, atol=1e-5, equal_nan=True)
        if not same:
            raise UserError(f"--from: that run has painted another mesh ({other.config.path}), or placed it otherwise")
        self.set_uv(other.corner_uv)  # an atlas may have been packed for another size
        if self.texture.shape == other.texture.shape:
            self.restart(other.whole_texture())

    @torch.no_grad()
    def restart(self, texture: Float[Tensor, "*rows_columns channels"]) -> None:
        """Take another texture, whatever was there."""
        self.texture.copy_(texture.expand_as(self.texture))
        if self._kept is not None and not bool(self.has_kept_texture):
            self.kept_texture.copy_(self.texture)
            self.has_kept_texture.fill_(True)
        self.is_started.fill_(True)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The texture alone, at `learning_rate`."""
        return [{"params": [self.texture], "lr": self.config.learning_rate}]

    def _kept_texels(self) -> Bool[Tensor, "size size"]:
        return self.texels_of(~self.painted, self.config.texture_size).bool()

    def texels_of(self, values: Shaped[np.ndarray, "faces"], size: int) -> Int[Tensor, "{size} {size}"]:
        """What the face has that each texel shows; beside the charts, the nearest one: filters mix it in."""
        texels = texels_of_corners(self.corner_uv.cpu().numpy(), size, size)
        return torch.from_numpy(texels.texture(values[texels.face, None].astype(np.int32))[..., 0])

"""`textured-mesh`: a mesh from a file, which stays as it is, and a texture of latents (or RGB) that is painted.

Source: Metzer et al., Latent-NeRF (arXiv:2211.07600), section 3.4 (Latent-Paint).
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.errors import UserError, require
from core.kinds import TexturedSurface
from geometry.mesh import TriangleMesh
from geometry.mip_texture import look_up
from geometry.placement import Placement, placed
from geometry.surface_file import SurfaceFile, read_surface, same_positions
from geometry.surface_pieces import pieces
from geometry.texels import covered_texels
from geometry.unwrap import unwrap
from geometry.uv_check import uv_fault

log = logging.getLogger(__name__)

Color = tuple[float, float, float]


class TexturedMesh(TexturedSurface, name="textured-mesh"):
    """A fixed mesh from a file and a learnable texture on it."""

    @dataclass(frozen=True)
    class Config:
        """Settings of the textured mesh."""

        path: Path
        """The mesh: obj, ply, stl, glb, gltf or off."""
        placement: Placement = field(default_factory=Placement)
        """How it is turned, moved and scaled to be seen; files that are written keep its own coordinates."""
        front_azimuth_deg: float = 0.0
        """From which side its front is seen, after its placement: 0 is +z, 90 is +x."""
        texture_size: int = 128
        """Texels along each side, a power of 2; about twice the guidance's latent size."""
        uv: Literal["auto", "own", "atlas"] = "auto"
        """Texture coordinates: the file's `own`, a new `atlas`, or `auto`: its own where they are usable."""
        start: Literal["color", "lit", "own-texture"] = "color"
        """What the texture shows at first: one colour; that colour in light, which shows where the mesh has edges; or
        the file's own texture."""
        start_color: Color = (0.5, 0.5, 0.5)
        """That colour, RGB in [0, 1]."""
        learning_rate: float = 1e-2
        """Adam's rate."""
        piece_learning_rate: float = 0.0
        """Adam's rate of one latent for each piece of the mesh (faces that hang together), added to all its texels: a
        wheel or a window takes its colour as a whole, on which single texels would have to agree. 0: none."""
        max_faces: int = 200_000
        """More faces are not unwrapped."""
        unwrap_limit_s: float = 120.0
        """Seconds after which unwrapping is given up."""

        def __post_init__(self) -> None:
            size = self.texture_size
            require(16 <= size <= 4096 and size.bit_count() == 1, f"texture_size: 16, 32, 64 ... 4096, got {size}")
            require(all(0 <= c <= 1 for c in self.start_color), f"start_color: from 0 to 1, got {self.start_color}")
            for name in ("learning_rate", "max_faces", "unwrap_limit_s"):
                require(getattr(self, name) > 0, f"{name}: above 0, got {getattr(self, name)}")
            rate = self.piece_learning_rate
            require(rate >= 0, f"piece_learning_rate: at least 0, got {rate}")

    is_started: Tensor
    texel_piece: Tensor
    """Row and column to the number of the piece that the texel shows."""

    def __init__(self, config: Config, n_channels: int) -> None:
        """Read the mesh, and unwrap it where its own texture coordinates are of no use.

        Raises:
            UserError: naming the file and what is wrong with it.
        """
        super().__init__()
        self.config = config
        self.n_channels = n_channels
        self.file = read_surface(config.path)
        corner_uv = settled_uv(self.file, config)
        seen = _seen_vertices(self.file, config)
        self.register_buffer("vertices", torch.from_numpy(seen).float(), persistent=False)
        self.register_buffer("faces", torch.from_numpy(self.file.faces), persistent=False)
        # Kept with the texture, which means nothing without them.
        self.register_buffer("corner_uv", torch.from_numpy(corner_uv).float())
        self.register_buffer("is_started", torch.tensor(False))
        self.texture = nn.Parameter(torch.zeros(config.texture_size, config.texture_size, n_channels))
        self.piece_latents: nn.Parameter | None = None
        if config.piece_learning_rate:
            self._piece = pieces(len(self.file.vertices), same_positions(self.file))
            self.piece_latents = nn.Parameter(torch.zeros(int(self._piece.max()) + 1, n_channels))
            self.register_buffer("texel_piece", self._texel_piece())  # follows corner_uv, so it is kept as that is

    @property
    def uses_own_uv(self) -> bool:
        """Whether the texture lies where the file's own coordinates say.

        Asked of the coordinates themselves, since a checkpoint or another painting brings its own along.
        """
        own = self.file.corner_uv
        return own is not None and torch.equal(self.corner_uv.cpu(), torch.from_numpy(own).float())

    def forward(
        self, uv: Float[Tensor, "points 2"], footprint: Float[Tensor, "points"]
    ) -> Float[Tensor, "points channels"]:
        """The texture between its texels, averaged over the footprint."""
        return look_up(self.whole_texture(), uv, footprint)

    def whole_texture(self) -> Float[Tensor, "size size channels"]:
        """What all texels show: their own latents and those of their pieces."""
        if self.piece_latents is None:
            return self.texture
        return self.texture + self.piece_latents[self.texel_piece]

    @torch.no_grad()
    def lie_as(self, corner_uv: Float[Tensor, "faces 3 2"]) -> None:
        """Take other texture coordinates."""
        self.corner_uv.copy_(corner_uv)
        if self.piece_latents is not None:
            self.texel_piece.copy_(self._texel_piece())

    @torch.no_grad()
    def start_from(self, texture: Float[Tensor, "*rows_columns channels"]) -> None:
        """Take what the texture shows at first: a whole texture, or one texel for all. Once only.

        A texture that a checkpoint has brought counts as started.
        """
        if not bool(self.is_started):
            self.restart(texture)

    @torch.no_grad()
    def restart(self, texture: Float[Tensor, "*rows_columns channels"]) -> None:
        """Take another texture, whatever was there."""
        self.texture.copy_(texture.expand_as(self.texture))
        if self.piece_latents is not None:
            self.piece_latents.zero_()
        self.is_started.fill_(True)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The texture, and what its pieces have in common."""
        groups: list[dict[str, Any]] = [{"params": [self.texture], "lr": self.config.learning_rate}]
        if self.piece_latents is not None:
            groups.append({"params": [self.piece_latents], "lr": self.config.piece_learning_rate})
        return groups

    def _texel_piece(self) -> Int[Tensor, "size size"]:
        """Beside the charts, the nearest chart's piece: filters and mip levels mix it in."""
        size = self.config.texture_size
        corners = np.arange(3 * len(self._piece)).reshape(-1, 3)
        texels = covered_texels(self.corner_uv.cpu().numpy().reshape(-1, 2), corners, size, size)
        return torch.from_numpy(texels.texture(self._piece[texels.face, None].astype(np.int32))[..., 0])


def settled_uv(file: SurfaceFile, config: TexturedMesh.Config) -> Float[np.ndarray, "faces 3 2"]:
    """Texture coordinates of the faces' corners, v upward: the file's own or a new atlas's.

    Raises:
        UserError: the file's own were asked for and cannot be used.
    """
    own = file.corner_uv
    corners = file.vertices[file.faces].astype(np.float64)
    fault = file.without_uv if own is None else uv_fault(corners, own)
    if config.uv == "own" and fault is not None:
        raise UserError(f"{file.path}: {fault}; give system.geometry.uv=auto to have it unwrapped")
    if config.uv != "atlas" and fault is None and own is not None:
        return own
    log.info("%s: %s; it is unwrapped", file.path, fault or "a new atlas is wanted")
    return _atlas_uv(file, config)


def _atlas_uv(file: SurfaceFile, config: TexturedMesh.Config) -> Float[np.ndarray, "faces 3 2"]:
    # One vertex for each position, of those that faces use: the others may hold anything, even no numbers.
    used, corner = np.unique(file.faces, return_inverse=True)
    positions, number = np.unique(file.vertices[used], axis=0, return_inverse=True)
    try:
        atlas = unwrap(
            positions,
            number.reshape(-1)[corner.reshape(-1, 3)],
            config.texture_size,
            padding=2,
            max_faces=config.max_faces,
            time_limit_s=config.unwrap_limit_s,
            tell=_Waiting(file.path),
        )
    except UserError as error:
        raise UserError(f"{file.path}: {error}") from error
    log.info("%s: %d charts (%.1f s)", file.path, atlas.n_charts, atlas.seconds)
    return atlas.uv[atlas.faces].astype(np.float64)


class _Waiting:
    """Says now and then that one still waits."""

    def __init__(self, path: Path, every_s: float = 10.0) -> None:
        self.path, self.every_s, self._next = path, every_s, every_s

    def __call__(self, elapsed_s: float) -> None:
        if elapsed_s >= self._next:
            self._next += self.every_s
            log.info("%s: unwrapping, %.0f s so far", self.path, elapsed_s)


def _seen_vertices(file: SurfaceFile, config: TexturedMesh.Config) -> Float[np.ndarray, "vertices 3"]:
    """Vertices as cameras see them: placed, then turned so that the front looks along +z."""
    mesh = TriangleMesh(file.vertices.astype(np.float64), file.faces)
    vertices = placed(mesh, config.placement.matrix(mesh)).vertices
    turn = np.radians(-config.front_azimuth_deg)
    about_y = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    return vertices @ about_y.T

"""A sketch: a coarse mesh that says of every point whether it should be solid and how far off the surface is.

It is tabulated once over the cube around the field's ball and read by trilinear interpolation, where the samples are.
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from core.errors import UserError
from core.types import TensorRecord
from geometry.bodies import encloses_volume, turned_outward
from geometry.mesh import Mesh
from geometry.mesh_file import read_mesh
from geometry.placement import Placement, placed
from geometry.simplify import simplified
from geometry.sketch_tables import RESOLUTION, load_table

log = logging.getLogger(__name__)

MOST_FACES = 2_000_000
# A mesh whose thinnest extent is a smaller share of its widest one is a picture, not a body.
FLATTEST = 1e-4

Corners = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class SketchReading(TensorRecord):
    """What a sketch says of points."""

    occupied: Bool[Tensor, "points"]
    """|generalised winding number| > 1/2."""
    distance: Float[Tensor, "points"]
    """To the surface, unsigned, in world units."""


class Sketch(nn.Module):
    """A mesh as tables on the module's device; nothing of it is trained or goes into checkpoints."""

    table: Float[Tensor, "1 2 n n n"]
    gradient: Float[Tensor, "1 3 n n n"] | None
    to_own: Float[Tensor, "3 4"]

    def __init__(
        self,
        mesh: Mesh,
        matrix: Float[np.ndarray, "4 4"],
        half_side: float,
        with_normals: bool = False,
        resolution: int = RESOLUTION,
    ) -> None:
        """
        Args:
            mesh: in its own coordinates, bodies turned outward.
            matrix: takes them to the world.
            half_side: half of the side of the cube that is tabulated, in world units.
            with_normals: whether `normals` will be asked for: another table, of three numbers at each vertex.
            resolution: vertices of the tables along each axis.
        """
        super().__init__()
        self.half_side = half_side
        self.mesh = placed(mesh, matrix)
        values = torch.from_numpy(load_table(self.mesh, half_side, resolution))
        signed = torch.where(values[..., 1] < 0, -values[..., 0], values[..., 0])
        self.register_buffer("table", _as_volume(values), persistent=False)
        gradient = _as_volume(torch.stack(torch.gradient(signed), dim=-1)) if with_normals else None
        self.register_buffer("gradient", gradient, persistent=False)
        self.to_file = np.linalg.inv(matrix)
        self.register_buffer("to_own", torch.from_numpy(self.to_file[:3]).float(), persistent=False)

    @property
    def cell(self) -> float:
        """Side of a cell of the tables, in world units."""
        return 2 * self.half_side / (self.table.shape[-1] - 1)

    def forward(self, positions: Float[Tensor, "points 3"]) -> SketchReading:
        """Occupancy and distance at points in world space; no gradient flows to them."""
        distance, level = _read(self.table, positions / self.half_side)
        return SketchReading(level < 0, distance)

    def normals(self, positions: Float[Tensor, "points 3"]) -> Float[Tensor, "points 3"]:
        """Unit gradient of the signed distance: away from the solid, on both sides of its surface.

        Raises:
            ValueError: the sketch was made without normals.
        """
        if self.gradient is None:
            raise ValueError("this sketch was made without normals")
        return F.normalize(_read(self.gradient, positions / self.half_side).T, dim=-1)

    def within(self, positions: Float[Tensor, "points 3"], box: Corners) -> Bool[Tensor, "points"]:
        """Whether points in world space lie in a box that is given by two corners in the mesh's own coordinates."""
        own = positions.to(self.to_own.dtype) @ self.to_own[:, :3].T + self.to_own[:, 3]
        low, high = own.new_tensor(box)
        return ((own >= low) & (own <= high)).all(dim=-1)

    @torch.no_grad()
    def touched_cells(self, half: float, resolution: int, grow: int = 1) -> Bool[Tensor, "cells cells cells"]:
        """Which cells of a grid over [-half, half]^3 hold some of the solid, grown by `grow` cells to all sides."""
        width = 2 * half / resolution
        axis = (torch.arange(resolution, device=self.table.device) + 0.5) * width - half
        centres = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
        reading = self(centres.view(-1, 3))
        # The surface runs through a cell only if it comes as near to the centre as the corners are.
        touched = reading.occupied | (reading.distance <= width * 3**0.5 / 2)
        grown = F.max_pool3d(touched.view(1, 1, *centres.shape[:3]).float(), 2 * grow + 1, stride=1, padding=grow)
        return grown[0, 0] > 0


def read_sketch(
    path: Path, placement: Placement, bound: float, with_normals: bool = False, resolution: int = RESOLUTION
) -> Sketch:
    """The sketch of a mesh file, in a field that ends at the radius `bound`.

    Raises:
        UserError: the file is no good mesh, is flat, encloses nothing, or reaches out of the field.
    """
    mesh = load_sketch_mesh(path)
    _check_thickness(mesh, path)
    mesh, n_turned = turned_outward(mesh)
    if n_turned:
        log.warning("%s: %s faces looked inward and were turned over", path, f"{n_turned:,}")
    if not encloses_volume(mesh):
        log.warning("%s: not watertight; what its faces surround by more than half counts as inside", path)
    matrix = placement.matrix(mesh)
    reach = float(np.linalg.norm(placed(mesh, matrix).vertices, axis=1).max())
    if reach > bound * (1 + 1e-6):
        raise UserError(
            f"{path}: placed, it reaches {reach:.3g} from the origin, but the field ends at {bound:g}; "
            "make it smaller (scale), move it (center: box), or raise the geometry's bound"
        )
    sketch = Sketch(mesh, matrix, bound, with_normals, resolution)
    if not bool((sketch.table[0, 1] < 0).any()):
        raise UserError(
            f"{path}: encloses no volume that is {sketch.cell:.2g} thick; give its surface thickness or close it"
        )
    return sketch


def load_sketch_mesh(path: Path, most_faces: int = MOST_FACES) -> Mesh:
    """All parts of a mesh file in its own coordinates; vertices without a face are left out.

    Args:
        most_faces: a larger mesh is simplified to so many, with a notice.

    Raises:
        UserError: the file is no readable mesh.
    """
    mesh = read_mesh(path)
    if len(mesh.faces) <= most_faces:
        return mesh.with_faces(mesh.faces)
    log.warning("%s: %s faces, simplified to %s", path, f"{len(mesh.faces):,}", f"{most_faces:,}")
    return simplified(mesh.merged(), most_faces)


def _check_thickness(mesh: Mesh, path: Path) -> None:
    spread = np.linalg.svd(np.cov(mesh.vertices.T), compute_uv=False) ** 0.5
    if spread[-1] < FLATTEST * spread[0]:
        raise UserError(f"{path}: flat: all of its vertices lie in one plane or line; a sketch needs solid parts")


def _as_volume(values: Float[Tensor, "n n n channels"]) -> Float[Tensor, "1 channels n n n"]:
    """As grid_sample reads it: its last axis is x. A vertex's channels lie side by side: that halves a read's time."""
    return values.permute(3, 2, 1, 0)[None].contiguous(memory_format=torch.channels_last_3d)


def _read(
    volume: Float[Tensor, "1 channels n n n"], places: Float[Tensor, "points 3"]
) -> Float[Tensor, "channels points"]:
    """Trilinear interpolation at places in [-1, 1]^3; beyond, the nearest place's value."""
    where = places.detach().to(volume.dtype)[None, None, None]
    return F.grid_sample(volume, where, padding_mode="border", align_corners=True)[0, :, 0, 0]

"""Painted meshes as files, read by trimesh alone: seams, colours of parts, and whether the geometry was kept."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from benchmarks.mesh_pictures import MeshFile
from benchmarks.part_colours import PartColours, part_colours
from core.types import Cameras
from exporters.seams import SeamGaps, seam_gaps
from geometry.mesh import Mesh
from geometry.uv_check import uv_fault
from toybox.captions import Subject


@dataclass(frozen=True)
class TextureFigures:
    """What was measured of one exported texture."""

    parts: PartColours
    """Of pictures of the file, without light."""
    seams: SeamGaps


class PaintedFile:
    """A canonical mesh with its painting, as a file has them."""

    def __init__(self, path: Path) -> None:
        self.file = MeshFile(path)

    @property
    def texture(self) -> UInt8[np.ndarray, "rows columns 3"]:
        """sRGB, row 0 on top."""
        material: Any = self.file.mesh.visual.material
        picture = getattr(material, "baseColorTexture", None) or material.image
        return np.asarray(picture.convert("RGB"))

    def seams(self) -> SeamGaps:
        """Gaps of its texture."""
        mesh = self.file.mesh
        vertices, faces = np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int64)
        return seam_gaps(Mesh(vertices, faces, uv=_uv_of(mesh), texture=self.texture))

    def figures(self, subject: Subject, cameras: Cameras) -> TextureFigures:
        """Its seams, and its parts against the canonical object from the same views."""
        return TextureFigures(part_colours(subject, cameras, self.pictures(cameras)), self.seams())

    def pictures(self, cameras: Cameras) -> Float[Tensor, "views rows columns 3"]:
        """sRGB in [0, 1]; what is behind the object is black."""
        return torch.from_numpy(self.file.pictures(cameras).colours).float()

    def distance(self, other: "PaintedFile", cameras: Cameras) -> float:
        """Mean distance, in RGB of [0, 1], between the two files' colours where cameras see the mesh."""
        mask = torch.from_numpy(self.file.pictures(cameras).mask)
        return float((self.pictures(cameras) - other.pictures(cameras)).norm(dim=-1)[mask].mean())


def geometry_fault(given: Path, painted: Path) -> str | None:
    """What painting has done to a mesh's geometry; None where all is kept.

    The format is the same. Of a mesh with texture coordinates, positions, texture coordinates and faces are equal bit
    for bit. Of one without, the new atlas has no overlaps, and for every corner of every face, in order, the position
    is equal bit for bit (vertices are doubled along seams).
    """
    if painted.suffix != given.suffix:
        return f"came as {given.suffix}, was written as {painted.suffix}"
    before, after = MeshFile(given).mesh, MeshFile(painted).mesh
    old_uv, new_uv = _uv_of(before), _uv_of(after)
    if new_uv is None:
        return "was written without texture coordinates"
    old, new = (np.asarray(mesh.vertices, np.float32) for mesh in (before, after))
    if old_uv is None:
        corners = new[after.faces]
        if not np.array_equal(old[before.faces], corners):
            return "positions of its faces' corners differ"
        return uv_fault(corners.astype(np.float64), new_uv[after.faces].astype(np.float64))
    pairs = {"positions": (old, new), "texture coordinates": (old_uv, new_uv), "faces": (before.faces, after.faces)}
    differing = [name for name, (one, other) in pairs.items() if not np.array_equal(one, other)]
    return f"{' and '.join(differing)} differ" if differing else None


def _uv_of(mesh: Any) -> Float[np.ndarray, "vertices 2"] | None:
    """Texture coordinates, float32, v upward; None where the file has none."""
    uv = getattr(mesh.visual, "uv", None)
    return None if uv is None else np.asarray(uv, np.float32)

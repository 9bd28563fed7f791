"""A body as a mesh file has it, and what all readers share: polygons as triangles, and the word on broken indices."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from core.errors import UserError

NO_UV = "it has no texture coordinates"
SOME_UV = "some faces have no texture coordinates"
BROKEN_UV = "a face names a texture coordinate that is not there"


@dataclass(frozen=True)
class FileBody:
    """A part of a file in world coordinates; arrays are in the file's order."""

    vertices: Float[np.ndarray, "vertices 3"]
    """float64."""
    faces: Int[np.ndarray, "faces 3"]
    """int64; each of them names vertices that are there."""
    uv: Float[np.ndarray, "vertices 2"] | None = None
    """As the file has them."""
    without_uv: str = NO_UV
    """Why there are no texture coordinates, where there are none."""
    n_polygons: int = 0
    """Faces of more than three corners, which were split."""
    n_materials: int = 1
    """How many materials the file gives its faces."""


def fans(n_corners: Int[np.ndarray, "polygons"]) -> Int[np.ndarray, "triangles 3"]:
    """Polygons as triangles around their first corners, polygon after polygon.

    Args:
        n_corners: of each polygon, at least 3.

    Returns:
        For each corner of a triangle its place in the list of all polygons' corners.
    """
    n_triangles = n_corners - 2
    first = np.repeat(np.cumsum(n_corners) - n_corners, n_triangles)
    step = np.arange(n_triangles.sum()) - np.repeat(np.cumsum(n_triangles) - n_triangles, n_triangles)
    return np.stack([first, first + step + 1, first + step + 2], axis=-1)


def out_of_range(path: Path, detail: str = "a face names a vertex that the file does not have") -> UserError:
    """The error on a face of vertices that are not there."""
    return UserError(f"{path}: face indices out of range: {detail}")


def unreadable(path: Path, why: str) -> UserError:
    """The error on a file that is not what its ending says, or is broken."""
    return UserError(f"{path}: not a readable {path.suffix.removeprefix('.').upper()} file: {why}")

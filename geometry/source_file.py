"""Where a mesh was read from: what its file holds besides triangles, files next to it, errors on broken ones."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from jaxtyping import Int

from core.errors import UserError

NO_UV = "it has no texture coordinates"
SOME_UV = "some faces have no texture coordinates"
BROKEN_UV = "a face names a texture coordinate that does not exist"


@dataclass(frozen=True, eq=False)
class SourceFile:
    """The file that a mesh was read from, and what it holds besides positions, faces and texture coordinates.

    A part of a file is what has a material of its own or is placed on its own: in OBJ the faces of one material, in
    glTF a primitive as a node places it, in STL a solid.
    """

    path: Path
    kind: str
    """The format: obj, ply, stl, glb, gltf or off."""
    polygon: Int[np.ndarray, "faces"]
    """The polygon that each triangle is cut from: counted from 0 in the file's order, points and lines left out."""
    part: Int[np.ndarray, "faces"]
    """The part of the file that each triangle belongs to."""
    materials: tuple[str | int | None, ...] = (None,)
    """The material of each part: in OBJ its name, in glTF its index; None where it has none."""
    without_uv: str = NO_UV
    """Why the mesh has no texture coordinates, where it has none."""
    textures: tuple[str, ...] = ()
    """Files that it refers to: the material libraries of OBJ, the pictures of PLY."""
    document: Any = None
    """The parsed file where it is glTF (`Gltf` of gltf_file.py), else None."""

    @property
    def n_split(self) -> int:
        """How many polygons had more than three corners."""
        return int((np.bincount(self.polygon) > 1).sum())


def read_beside(path: Path, name: str) -> bytes:
    """A file that a mesh file refers to: read where it lies in the mesh's own folder or below, and never elsewhere.

    Args:
        path: of the mesh file.
        name: as the mesh file has it: in glTF a URI, where %20 is a space (glTF 2.0, section 2.8), else a path.

    Raises:
        UserError: it lies elsewhere, does not exist, or cannot be read.
    """
    plain = unquote(name) if path.suffix.lower() in (".gltf", ".glb") else name
    folder = path.parent.resolve()
    try:
        wanted = (folder / plain.strip()).resolve()  # follows links, so that none leads out of the folder
        if not wanted.is_relative_to(folder):
            raise UserError(f"{path}: refers to '{name}' outside of its folder; such files are not opened")
        if wanted.is_file():
            return wanted.read_bytes()
    except (OSError, ValueError, RuntimeError) as error:  # no permission; no name of a file; links in a circle
        raise UserError(f"{path}: refers to '{name}', which cannot be read: {error}") from error
    raise UserError(f"{path}: refers to '{name}', which does not exist")


def unreadable(path: Path, why: str) -> UserError:
    """The error for a file that is broken, or not of the format that its suffix names."""
    return UserError(f"{path}: not a readable {path.suffix.removeprefix('.').upper()} file: {why}")


def out_of_range(path: Path, detail: str = "a face names a vertex that the file does not have") -> UserError:
    """The error for a face that names vertices which do not exist."""
    return UserError(f"{path}: face indices out of range: {detail}")

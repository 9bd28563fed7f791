"""A mesh file that is to be painted: read, and refused before anything costs time where it cannot be."""

import logging
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from core.errors import UserError
from geometry.mesh import Mesh
from geometry.mesh_file import read_mesh
from geometry.own_texture import check_own_look
from geometry.texture_sets import painted_faces

log = logging.getLogger(__name__)

#: More faces are refused: to simplify them would not leave them as they are.
MOST_FACES = 500_000


def load_surface(path: Path) -> Mesh:
    """A mesh file to be painted; it is read once as long as it stays the same.

    Raises:
        UserError: the file is no readable mesh, or has too many faces (simplified, it would not be the user's mesh).
    """
    about = path.stat() if path.exists() else None
    return _loaded(path, None if about is None else (about.st_mtime_ns, about.st_size))


def check_surface_file(path: Path, materials: Sequence[str], starts_with_own: bool) -> None:
    """Refuse a mesh that cannot be painted so.

    Args:
        materials: names of those that are painted; empty: all.
        starts_with_own: whether what is painted begins with the file's own pictures.

    Raises:
        UserError: as `load_surface`; it has no such material; a picture that is to be seen cannot be read.
    """
    mesh = load_surface(path)
    painted = painted_faces(mesh, materials)
    if starts_with_own or not painted.all():
        check_own_look(mesh, np.ones_like(painted) if starts_with_own else ~painted)


@lru_cache(maxsize=1)
def _loaded(path: Path, stamp: object) -> Mesh:
    mesh = read_mesh(path)
    if len(mesh.faces) > MOST_FACES:
        raise UserError(
            f"{path}: {len(mesh.faces):,} faces, at most {MOST_FACES:,} can be painted; simplify the mesh first"
        )
    if n_split := mesh.file.n_split:
        log.info("%s: %d polygons are seen as triangles", path, n_split)
    return mesh

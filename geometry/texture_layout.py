"""Where the texture that is painted lies on a mesh: by its file's own texture coordinates, or by a new atlas.

Painting needs each place of the surface once in one texture. That is the file's own layout where it is so; where the
file has several textures, or parts of it are not painted, it is an atlas of the whole mesh, and what has been painted
is brought into the file's own textures when it is written.
"""

import logging
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float

from core.errors import UserError
from geometry.mesh import Mesh
from geometry.texture_sets import TextureSet, texture_sets
from geometry.unwrap import unwrap
from geometry.uv_check import OVERLAPS

log = logging.getLogger(__name__)


def painted_sets(
    mesh: Mesh, painted: Bool[np.ndarray, "faces"], uv: Literal["auto", "own", "atlas"], setting: str = "uv"
) -> list[TextureSet]:
    """The textures that are painted; one that has a fault gets a new atlas, and a line says why.

    Args:
        setting: the full path of `uv` in the recipe, for advice.

    Raises:
        UserError: the file's own texture coordinates are asked for and cannot be used.
    """
    path = mesh.file.path
    if uv == "atlas":
        materials, number = mesh.file.material_of_faces()
        used = tuple(materials[index] for index in np.unique(number[painted]))
        return [TextureSet("", used, np.flatnonzero(painted), "a new atlas is wanted")]
    sets = texture_sets(mesh, painted, may_overlap=uv == "own")
    for each in sets:
        what = f"{path}: {each.name}: " if len(sets) > 1 else f"{path}: "
        if each.fault is not None and uv == "own":
            raise UserError(f"{what}{each.fault}; give {setting}=auto to have it unwrapped")
        if each.overlap:
            log.info(
                "%s%s; what lies on one place gets one colour, such as both sides of a mirrored body",
                what,
                each.overlap,
            )
        if each.fault is not None:
            hint = "; uv: own keeps them, and gives both sides one colour" if each.fault.startswith(OVERLAPS) else ""
            log.info("%s%s; it is unwrapped%s", what, each.fault, hint)
    return sets


def atlas_uv(mesh: Mesh, texture_size: int, max_faces: int, limit_s: float) -> Float[np.ndarray, "faces 3 2"]:
    """Texture coordinates of the faces' corners in a new atlas, v upward.

    What a glTF scene places several times has one place in it: all copies look alike.

    Raises:
        UserError: there are too many faces, or it takes too long.
    """
    first = mesh.file.first_copy()
    once = np.flatnonzero(first == np.arange(len(first)))
    if len(once) < len(first):
        log.info("%s: what its scene places several times is painted once: all copies look alike", mesh.file.path)
    # One vertex for each position, of those that faces use: the others may hold anything, even NaN.
    number = mesh.position[mesh.faces[once]]
    bare = Mesh(np.unique(mesh.vertices, axis=0), number).with_faces(number)
    try:
        unwrapped, atlas = unwrap(bare, texture_size, padding=2, max_faces=max_faces, time_limit_s=limit_s)
    except UserError as error:
        raise UserError(f"{mesh.file.path}: {error}") from error
    log.info("%s: %d charts (%.1f s)", mesh.file.path, atlas.n_charts, atlas.seconds)
    found = unwrapped.corner_uv
    assert found is not None
    corner_uv = found[np.searchsorted(once, first)]
    if (corner := mesh.file.corner) is not None:
        turned = (corner != corner[first]).any(axis=1) & (first != np.arange(len(first)))  # copies that are mirrored
        corner_uv[turned] = corner_uv[turned, ::-1]
    return corner_uv

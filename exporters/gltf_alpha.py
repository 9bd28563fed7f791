"""Where a glTF file's base colour was transparent, a new one is too: leaves and hair are cut out of their sheets."""

import logging

import numpy as np
from jaxtyping import Float, Int, UInt8

from core.errors import UserError
from geometry.gltf_file import Gltf
from geometry.gltf_material import base_colour, base_colour_uv, picture_of
from geometry.mesh import Mesh
from geometry.pictures import open_picture
from geometry.texels import sampled, texels_of_corners

log = logging.getLogger(__name__)


def with_own_alpha(
    gltf: Gltf,
    mesh: Mesh,
    painted: UInt8[np.ndarray, "rows columns 3"],
    faces: Int[np.ndarray, "shown"],
    corner_uv: Float[np.ndarray, "faces 3 2"] | None,
) -> UInt8[np.ndarray, "rows columns channels"]:
    """A picture, with a fourth channel where materials of its faces look up their transparency in their own.

    Args:
        painted: sRGB, row 0 on top.
        faces: those that show it.
        corner_uv: where all faces' corners lie in it, v upward; None: where the file says.
    """
    layers: list[tuple[Int[np.ndarray, "own"], Float[np.ndarray, "own 3 2"], Float[np.ndarray, "rows columns 1"]]] = []
    for part, own in mesh.file.by_part(faces):
        number, index = mesh.file.primitives[part]
        primitive = gltf.tree["meshes"][number]["primitives"][index]
        alpha = _alpha(gltf, primitive.get("material"))
        uv, _ = base_colour_uv(gltf, primitive, len(gltf.attribute(primitive, "POSITION")))
        if alpha is not None and uv is not None and mesh.file.corner is not None:
            layers.append((own, uv[mesh.file.corner[own]].astype(np.float64) * [1, -1] + [0, 1], alpha))
    if not layers:
        return painted
    rows, columns, _ = painted.shape
    opaque = np.full((rows * columns, 1), 255, np.uint8)
    for own, before, alpha in layers:
        after = before if corner_uv is None else corner_uv[own]
        texels = texels_of_corners(after, rows, columns, reach=1.0)
        opaque[texels.index] = np.rint(sampled(alpha, texels.within(before))).astype(np.uint8)
    return np.concatenate([painted, opaque.reshape(rows, columns, 1)], axis=-1)


def _alpha(gltf: Gltf, material: int | None) -> Float[np.ndarray, "rows columns 1"] | None:
    """A material's own transparency, from 0 to 255; None where it has none, or does not use it."""
    if material is None or gltf.item("materials", material).get("alphaMode", "OPAQUE") == "OPAQUE":
        return None
    texture, _ = base_colour(gltf, material)
    if texture is None:
        return None
    try:
        name, content = picture_of(gltf, texture)
        opened = open_picture(f"{gltf.path}: its texture '{name}'", content)
    except UserError as error:
        log.warning("%s; what was transparent by it is not any more", error)
        return None
    if not opened.has_transparency_data:
        return None
    return np.asarray(opened.convert("RGBA"), np.float64)[..., 3:]

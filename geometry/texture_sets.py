"""Which faces of a file share a texture: those of one material, of one picture, or of one of the tiles it lies on.

Tiles are UDIM's: the square of texture coordinates whose lower left corner is (i, j) is tile 1001 + i + 10 j.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from core.errors import UserError, did_you_mean
from geometry.mesh import Mesh, area_vectors
from geometry.own_texture import own_pictures
from geometry.source_file import NO_UV
from geometry.uv_check import OVERLAPS, uv_fault

log = logging.getLogger(__name__)

Materials = tuple[str | int | None, ...]
FIRST_TILE, N_ACROSS = 1001, 10
#: A corner so far outside of its tile still lies in it.
_TOLERANCE = 1e-4


@dataclass(frozen=True, eq=False)
class TextureSet:
    """Faces that share a texture."""

    name: str
    """Of its first material, with the number of its tile where there are several."""
    materials: Materials
    """As the file knows them."""
    faces: Int[np.ndarray, "shown"]
    fault: str | None = None
    """Why the file's own texture coordinates cannot hold a painting of them."""
    tile: int | None = None
    """The number of the tile that they lie on, where there are several."""
    overlap: str | None = None
    """The notice logged about overlapping faces, where overlap is allowed."""


def painted_faces(mesh: Mesh, wanted: Sequence[str]) -> Bool[np.ndarray, "faces"]:
    """The faces of the materials of these names; of all, where none is named.

    Raises:
        UserError: no face has a material of that name.
    """
    materials, number = mesh.file.material_of_faces()
    names = [mesh.file.material_name(material) for material in materials]
    for name in wanted:
        if name not in names:
            raise UserError(f"{mesh.file.path}: materials: it has no '{name}'. {did_you_mean(name, names)}")
    return np.isin(number, [i for i, name in enumerate(names) if name in wanted or not wanted])


def texture_sets(mesh: Mesh, painted: Bool[np.ndarray, "faces"], may_overlap: bool = False) -> list[TextureSet]:
    """The painted faces by the textures that they are to have.

    Materials that share a picture share a texture. So do all, where their texture coordinates leave room for each other
    and their pictures do not differ.

    Args:
        may_overlap: whether faces may lie on top of each other in a texture.
    """
    materials, number = mesh.file.material_of_faces()
    used = [index for index in range(len(materials)) if (painted & (number == index)).any()]
    pictures = _picture_names(mesh)
    groups: dict[object, list[int]] = {}
    for index in used:
        groups.setdefault(pictures.get(materials[index], index), []).append(index)
    n_pictures = len({pictures[materials[index]] for index in used if materials[index] in pictures})
    if len(groups) > 1 and n_pictures <= 1 and _fault(mesh, np.flatnonzero(painted)) is None:
        groups = {"all": used}
    sets = list[TextureSet]()
    for group in groups.values():
        faces = np.flatnonzero(painted & np.isin(number, group))
        name, own = mesh.file.material_name(materials[group[0]]), tuple(materials[index] for index in group)
        for tile, part in _tiles(mesh, faces):
            called, fault = name if tile is None else f"{name}.{tile}", _fault(mesh, part)
            is_borne = may_overlap and fault is not None and fault.startswith(OVERLAPS)
            fault, overlap = (None, fault) if is_borne else (fault, None)
            sets.append(TextureSet(called, own, part, fault, tile, overlap))
    return _with_shared_atlas(sets)


def _with_shared_atlas(sets: list[TextureSet]) -> list[TextureSet]:
    """The same sets, those that cannot keep their texture coordinates as one: they get a new atlas together."""
    faulty = [each for each in sets if each.fault]
    if len(faulty) < 2:
        return sets
    materials = dict.fromkeys(material for each in faulty for material in each.materials)
    faces = np.sort(np.concatenate([each.faces for each in faulty]))
    joined = TextureSet(faulty[0].name, tuple(materials), faces, faulty[0].fault)
    return [each for each in sets if not each.fault] + [joined]


def _picture_names(mesh: Mesh) -> dict[str | int | None, str]:
    try:
        return {material: picture.name for material, picture in own_pictures(mesh.file).items()}
    except UserError as error:
        log.info("%s; its materials are told apart by their names alone", error)
        return {}


def _fault(mesh: Mesh, faces: Int[np.ndarray, "some"]) -> str | None:
    first = mesh.file.first_copy()
    once = faces[first[faces] == faces]  # copies that a scene makes lie on top of each other, and look alike
    own = mesh.corner_uv
    if own is None or (mesh.file.without_uv != NO_UV and not np.isfinite(own[once]).all()):
        return mesh.file.without_uv
    return uv_fault(mesh.corners[once], own[once])


def _tiles(mesh: Mesh, faces: Int[np.ndarray, "some"]) -> list[tuple[int | None, Int[np.ndarray, "part"]]]:
    """Faces by the tile that they lie in, where they are laid out over several."""
    own = mesh.corner_uv
    if own is None or mesh.file.kind not in ("obj", "ply"):  # glTF has none: textures repeat
        return [(None, faces)]
    uv = own[faces]
    tile = np.floor(uv.mean(axis=1))
    is_within = ((uv >= tile[:, None] - _TOLERANCE) & (uv <= tile[:, None] + 1 + _TOLERANCE)).all()
    if not np.isfinite(uv).all() or not is_within or tile.min() < 0 or tile[:, 0].max() >= N_ACROSS:
        return [(None, faces)]
    number = (FIRST_TILE + tile[:, 0] + N_ACROSS * tile[:, 1]).astype(np.int64)
    tiles = np.unique(number).tolist()
    if len(tiles) == 1 or _fault(mesh, faces) is None:
        return [(None, faces)]
    return [(each, faces[number == each]) for each in tiles]


def texture_side(
    of_set: Float[np.ndarray, "shown 3 3"],
    of_all: Float[np.ndarray, "faces 3 3"],
    corner_uv: Float[np.ndarray, "shown 3 2"],
    whole: int,
) -> int:
    """Texels along each side of a set's texture, a power of 2, so that all textures show the surface equally finely.

    Args:
        of_set: corners of its faces.
        of_all: corners of all painted faces.
        whole: texels along each side that one texture of all of them would have.
    """
    area, all_area = (float(np.linalg.norm(area_vectors(corners), axis=1).sum()) for corners in (of_set, of_all))
    edges = corner_uv[:, 1:] - corner_uv[:, :1]
    covered = float(np.abs(edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]).sum() / 2)
    side = whole * (area / max(all_area, 1e-300) / min(max(covered, 0.05), 1.0)) ** 0.5
    return int(2 ** np.clip(np.ceil(np.log2(max(side, 1.0)) - 1e-6), 6, np.log2(2 * whole)))

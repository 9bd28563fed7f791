"""A painted mesh as files: the user's own file with its pictures exchanged, or a new one of another format."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from core.errors import UserError, require
from core.files import write_whole
from exporters.glb import Texture, png_bytes
from exporters.gltf_additions import as_binary
from exporters.gltf_in_place import with_base_colour
from exporters.mesh_files import picture_names, write_mesh
from exporters.new_places import NewPlaces
from exporters.obj_in_place import kept_picture, painted_library, painted_obj
from exporters.painted_surface import written_mesh
from exporters.ply_in_place import painted_ply
from geometry.gltf_file import BROKEN, Gltf
from geometry.mesh import Mesh
from geometry.mtl_file import pictures_of, read_libraries
from geometry.ply_file import parsed_ply
from geometry.source_file import encoding_of, find_beside, read_beside

log = logging.getLogger(__name__)

#: Places in a glTF file's JSON that are logged; all of them are in export.json.
MOST_TOLD = 20
#: What a material is called that faces get which had none.
NEW_MATERIAL = "painted"


@dataclass(frozen=True, eq=False)
class PaintedTexture:
    """A texture that has been painted, and what shows it."""

    picture: UInt8[np.ndarray, "rows columns 3"]
    """sRGB bytes, row 0 on top."""
    faces: Int[np.ndarray, "shown"]
    """Of the surface's mesh."""
    materials: tuple[str | int | None, ...]
    """Of those faces, as the file knows them."""
    corner_uv: Float[np.ndarray, "shown 3 2"] | None = None
    """Where those faces' corners lie in it, v upward; None: where the file says."""
    name: str = ""
    """Of the texture, where there are several: the material's, with the number of its tile."""
    tile: int | None = None
    """The number of that tile, where there are several."""


def write_painted(
    path: Path, mesh: Mesh, textures: Sequence[PaintedTexture], extras: dict[str, Any]
) -> tuple[list[Path], list[str]]:
    """Write a painted mesh in the format that the path's suffix says; each file whole or not at all, the mesh last.

    Args:
        mesh: as it was read.
        textures: of all faces, where the format is not the mesh's own; PLY holds one then.

    Returns:
        The mesh's file and those that it names; and for a glTF file that was one before, where its JSON has changed.
    """
    kind, corner_uv = path.suffix.removeprefix("."), new_uv(mesh, textures)
    if kind in ("glb", "gltf") and isinstance(mesh.file.document, Gltf):
        return _write_gltf(path, mesh, textures, extras)
    if kind != mesh.file.kind or kind not in ("obj", "ply"):
        return _write_anew(path, mesh, textures, extras), []
    pictures = dict(zip(picture_names(path.stem, [one.name for one in textures]), textures, strict=True))
    beside = {name: png_bytes(texture.picture) for name, texture in pictures.items()}
    content = mesh.file.path.read_bytes()
    if kind == "ply":
        places = None if corner_uv is None else NewPlaces.of(mesh, np.nan_to_num(corner_uv))
        listed, kept = _ply_pictures(mesh, pictures)
        written = painted_ply(content, parsed_ply(content, mesh.file.path), listed, places)
    else:
        library = f"{path.stem}.mtl"
        names, described, kept = _obj_materials(mesh, pictures, corner_uv is None)
        described = _encoded_like(content, described)
        places = None if corner_uv is None else NewPlaces.of(mesh, corner_uv)
        written = painted_obj(content, names, library, places)
        beside = {library: described, **beside}
    for name, held in [*beside.items(), *kept.items(), (path.name, written)]:
        write_whole(path.parent / name, held)
    return [path, *(path.parent / name for name in [*beside, *kept])], []


def _write_anew(path: Path, mesh: Mesh, textures: Sequence[PaintedTexture], extras: dict[str, Any]) -> list[Path]:
    shown = [Texture(one.picture, one.faces, one.name) for one in textures]
    return write_mesh(path, written_mesh(mesh, new_uv(mesh, textures)), extras, shown)


def new_uv(mesh: Mesh, textures: Sequence[PaintedTexture]) -> Float[np.ndarray, "faces 3 2"] | None:
    """Texture coordinates of the faces' corners, v upward, NaN where there are none; None: the file's own stay."""
    changed = [texture for texture in textures if texture.corner_uv is not None]
    if not changed:
        return None
    own = mesh.corner_uv
    corner_uv = np.full((len(mesh.faces), 3, 2), np.nan) if own is None else own.copy()
    for texture in changed:
        corner_uv[texture.faces] = texture.corner_uv
    return corner_uv


def _write_gltf(
    path: Path, mesh: Mesh, textures: Sequence[PaintedTexture], extras: dict[str, Any]
) -> tuple[list[Path], list[str]]:
    """The user's file with its base colour exchanged; a new one where the old is broken in what was not read before.

    Raises:
        UserError: it is broken, and some of it is not painted.
    """
    gltf: Gltf = mesh.file.document
    laid = [(texture.picture, texture.faces, texture.corner_uv is None) for texture in textures]
    corner_uv = new_uv(mesh, textures)
    try:
        source = as_binary(gltf) if path.suffix == ".glb" and not gltf.is_binary else gltf
        made = with_base_colour(source, mesh, laid, corner_uv)
        if extras:
            about = made.tree.setdefault("asset", {"version": "2.0"})
            about["extras"] = {**about.get("extras", {}), "painting": extras}
        files, changes = made.save(path), made.changes(gltf.tree)
    except BROKEN as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        is_whole = sum(len(texture.faces) for texture in textures) == len(mesh.faces)
        require(is_whole, f"{gltf.path}: it is broken ({said}), and not all of it is painted; repair it")
        log.warning("%s: it is broken (%s): a new file holds the painted mesh, and nothing else of it", gltf.path, said)
        return _write_anew(path.with_suffix(".glb"), mesh, textures, extras), []
    shown = ", ".join(changes[:MOST_TOLD]) + (" ..." if len(changes) > MOST_TOLD else "")
    log.info("%s: differs from %s in %d places: %s", path.name, gltf.path.name, len(changes), shown)
    return files, changes


def _ply_pictures(mesh: Mesh, pictures: Mapping[str, PaintedTexture]) -> tuple[list[str], dict[str, bytes]]:
    """The pictures' names in the order of those that the file named, and those that are kept."""
    file = mesh.file
    if len(file.materials) == 1:
        return list(pictures), {}
    listed, kept = list[str](), dict[str, bytes]()
    for before in file.textures:
        new = next((name for name, texture in pictures.items() if before in texture.materials), kept_picture(before))
        listed.append(new)
        if new not in pictures:
            kept[new] = read_beside(file.path, before)
    return listed, kept


def _obj_materials(
    mesh: Mesh, pictures: Mapping[str, PaintedTexture], keeps_places: bool
) -> tuple[list[str | None], bytes, dict[str, bytes]]:
    """Of each polygon the material that it gets, None where it keeps what it has; the new library; kept pictures."""
    file = mesh.file
    try:
        known = read_libraries(file.path, file.textures)
    except UserError as error:
        log.info("%s; materials that it may describe are written anew", error)
        known = {}
    all_names, number = file.material_of_faces()
    painted: dict[str, tuple[str | None, str]] = {}
    given: dict[int, str | None] = {}
    for picture, texture in pictures.items():
        for index in np.unique(number[texture.faces]):
            before = all_names[index]
            name = str(before or _free_name(all_names)) + (f".{texture.tile}" if texture.tile else "")
            painted[name] = (before if isinstance(before, str) else None, picture)
            shown = texture.faces[number[texture.faces] == index]
            given |= dict.fromkeys(file.polygon[shown].tolist(), name)
    names = [given.get(polygon) for polygon in range(int(file.polygon.max(initial=-1)) + 1)]
    stay = [str(each) for each in all_names if each is not None and each not in painted]
    described = painted_library(known, stay, painted, keeps_places)
    kept = dict[str, bytes]()
    for name in [*stay, *(str(before) for before, _ in painted.values())]:
        for picture in pictures_of(known[name].lines) if name in known else ():
            if kept_picture(picture).encode() in described:
                kept[kept_picture(picture)] = find_beside(file.path, picture).read_bytes()
    return names, described, kept


def _encoded_like(content: bytes, library: bytes) -> bytes:
    """A library in Latin-1 where its OBJ file is: programs compare the bytes of materials' names."""
    if encoding_of(content)[1] != "latin-1":
        return library
    try:
        return library.decode().encode("latin-1")
    except UnicodeEncodeError:  # the user's own library was written otherwise than the file
        return library


def _free_name(taken: Sequence[str | int | None]) -> str:
    name = NEW_MATERIAL
    while name in taken:
        name += "_"
    return name

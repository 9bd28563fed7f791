"""The texture that a mesh file brings along: found, checked, read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float
from PIL import Image
from torch import Tensor

from core.errors import UserError
from geometry.gltf_file import BROKEN, Gltf
from geometry.gltf_material import base_colour, picture_of
from geometry.mesh import Mesh
from geometry.mtl_file import read_libraries
from geometry.pictures import linear_from_srgb, open_picture, srgb_from_linear
from geometry.source_file import NO_UV, SourceFile, read_beside
from geometry.texels import sampled, texels_of_corners

#: Endings of pictures that a texture can begin with.
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
#: Pictures are read at this size: finer than a mesh's views can show.
OWN_TEXTURE_SIZE = 1024


@dataclass(frozen=True)
class OwnPicture:
    """The picture that a material shows."""

    name: str
    content: bytes
    """Of its file."""
    factor: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """What multiplies it, linear RGB."""
    scale: tuple[float, float] = (1.0, 1.0)
    offset: tuple[float, float] = (0.0, 0.0)
    """It is looked up at uv * scale + offset, v upward."""


def read_given_texture(mesh: Mesh, path: Path, size: int) -> Float[Tensor, "{size} {size} 3"]:
    """A picture of the user's, to be laid on a mesh's own coordinates in place of its texture, at size x size.

    Raises:
        UserError: the mesh has no coordinates; the picture is missing, too large or none.
    """
    if mesh.uv is None:
        raise UserError(f"{mesh.file.path}: has no texture coordinates to lay {path} on; use start=color")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    return read_picture(mesh.file.path, OwnPicture(str(path), content), size)


def without_texture(mesh: Mesh) -> UserError:
    """The error for a mesh that is to start from its own texture, and has none."""
    why = "" if mesh.uv is not None or mesh.file.without_uv == NO_UV else f" ({mesh.file.without_uv})"
    return UserError(f"{mesh.file.path}: it has no texture to start from{why}; use system.geometry.start=color")


def only_picture(mesh: Mesh) -> OwnPicture | None:
    """The picture that all of a mesh shows; None where it shows several, or some of it none."""
    pictures, uv = own_pictures(mesh.file), mesh.corner_uv
    found = {pictures.get(material) for material in mesh.file.material_of_faces()[0]}
    return found.pop() if len(found) == 1 and uv is not None and np.isfinite(uv).all() else None


def check_own_look(mesh: Mesh, own: Bool[np.ndarray, "faces"]) -> None:
    """Open the pictures of the faces that show their own, before anything costs time.

    Raises:
        UserError: there is none; one is missing, lies outside of the mesh's folder, is too large or no picture.
    """
    file = mesh.file
    materials, number = file.material_of_faces()
    pictures = own_pictures(file)
    shown = {material: pictures[material] for material in materials if material in pictures}
    if own.all() and (not shown or mesh.uv is None):
        raise without_texture(mesh)
    for index in np.unique(number[own]):
        if (picture := shown.get(materials[index])) is not None:
            open_picture(f"{file.path}: its texture '{picture.name}'", picture.content)


def own_look(
    mesh: Mesh,
    own: Bool[np.ndarray, "faces"],
    colour: tuple[float, float, float],
    corner_uv: Float[np.ndarray, "faces 3 2"],
    size: int,
    given: Float[Tensor, "rows columns 3"] | None = None,
) -> Float[Tensor, "{size} {size} 3"]:
    """What a mesh shows in a layout of texture coordinates: some faces the file's own materials, the others one colour.

    Args:
        own: the faces that show their own.
        corner_uv: of the layout, v upward; no two faces share a place.
        given: a picture in place of the one colour, laid on the file's texture coordinates.

    Raises:
        UserError: a picture is missing, lies outside of the mesh's folder, is too large or no picture.
    """
    file, before = mesh.file, mesh.corner_uv
    materials, number = file.material_of_faces()
    pictures = own_pictures(file)
    texels = texels_of_corners(corner_uv, size, size, reach=1.0)
    shown = np.full((len(texels.face), 3), colour, np.float32)
    if given is not None and before is not None:
        shown = sampled(given.numpy(), texels.within(np.nan_to_num(before))).astype(np.float32)
    colours = own_colours(file)
    there = None if before is None else texels.within(before)
    for index, material in enumerate(materials):
        here = np.flatnonzero(own[texels.face] & (number[texels.face] == index))
        if not len(here):
            continue
        shown[here] = colours.get(material, (1.0, 1.0, 1.0))
        if (picture := pictures.get(material)) is None or there is None:
            continue
        places = there[here] * picture.scale + picture.offset
        known = np.isfinite(places).all(axis=1)
        shown[here[known]] = sampled(read_picture(file.path, picture, OWN_TEXTURE_SIZE).numpy(), places[known])
    return torch.from_numpy(texels.texture(shown))


def own_colours(file: SourceFile) -> dict[str | int | None, tuple[float, ...]]:
    """The colour of each material where it shows no picture, sRGB; without those of which the file says none."""
    if isinstance(file.document, Gltf):
        numbers = {index for index in file.materials if isinstance(index, int)}
        factors = {index: base_colour(file.document, index)[1][:3] for index in numbers}
        return {index: tuple(srgb_from_linear(factor.clip(0, 1)).tolist()) for index, factor in factors.items()}
    known = read_libraries(file.path, file.textures) if file.kind == "obj" else {}
    return {name: one.colour for name, one in known.items() if one.colour is not None}


def read_picture(path: Path, own: OwnPicture, size: int) -> Float[Tensor, "{size} {size} 3"]:
    """A picture of a mesh's file as it shows, RGB in [0, 1], row 0 on top, brought to size x size.

    Raises:
        UserError: it is too large or no picture.
    """
    what = f"{path}: its texture '{own.name}'"
    picture = open_picture(what, own.content)
    filtering = Image.Resampling.BOX if min(picture.size) >= size else Image.Resampling.BICUBIC
    try:
        resized = picture.convert("RGB").resize((size, size), filtering)
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{what}: cannot be read as a picture: {error}") from error
    colours = np.asarray(resized, dtype=np.float32) / 255
    if own.factor != (1.0, 1.0, 1.0):
        colours = srgb_from_linear(linear_from_srgb(colours) * np.array(own.factor, np.float32)).clip(0, 1)
    return torch.from_numpy(colours)


def own_pictures(file: SourceFile) -> dict[str | int | None, OwnPicture]:
    """What each material shows that faces have; without those that show no picture.

    Raises:
        UserError: a picture is missing, lies outside of the mesh's folder, or is of a kind that cannot be opened.
    """
    if isinstance(file.document, Gltf):
        return _of_gltf(file.document, {index for index in file.materials if isinstance(index, int)})
    if file.kind == "obj":
        known = read_libraries(file.path, file.textures)
        used = {name: known[name] for name in file.materials if isinstance(name, str) and name in known}
        return {
            name: OwnPicture(one.picture, read_beside(file.path, one.picture), scale=one.scale, offset=one.offset)
            for name, one in used.items()
            if one.picture
        }
    keys = file.materials if len(file.materials) == len(file.textures) else file.textures
    names = dict(zip(keys, file.textures, strict=True))
    return {material: OwnPicture(name, read_beside(file.path, name)) for material, name in names.items() if name}


def _of_gltf(gltf: Gltf, materials: set[int]) -> dict[str | int | None, OwnPicture]:
    try:
        looks = {index: base_colour(gltf, index) for index in sorted(materials)}
    except BROKEN as error:
        raise UserError(f"{gltf.path}: its materials are broken ({error})") from error
    return {
        index: OwnPicture(*picture_of(gltf, texture), tuple(factor[:3].tolist()))
        for index, (texture, factor) in looks.items()
        if texture is not None
    }

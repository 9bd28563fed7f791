"""The texture that a mesh file brings along: found, checked, read."""

import io
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from core.errors import UserError
from geometry.gltf_file import BROKEN, Gltf
from geometry.gltf_material import base_colour, picture_of
from geometry.mesh import Mesh
from geometry.mtl_file import read_libraries
from geometry.source_file import NO_UV, SourceFile, read_beside

#: Endings of pictures that a texture can begin with.
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
#: Larger pictures are refused, along a side and altogether.
LONGEST_SIDE, MOST_PIXELS = 16384, 2**27


@dataclass(frozen=True)
class OwnPicture:
    """The picture that a material shows."""

    name: str
    content: bytes
    """Of its file."""
    factor: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """What multiplies it, linear RGB."""


def read_own_texture(mesh: Mesh, size: int) -> Float[Tensor, "{size} {size} 3"]:
    """The colour texture of a mesh that was read, RGB in [0, 1], row 0 on top, brought to size x size.

    Raises:
        UserError: there is none, or more than one; it is missing, lies outside of the mesh's folder, is too large or no
            picture.
    """
    path = mesh.file.path
    pictures = set(own_pictures(mesh.file).values()) if mesh.uv is not None else set()
    if not pictures:
        why = "" if mesh.uv is not None or mesh.file.without_uv == NO_UV else f" ({mesh.file.without_uv})"
        raise UserError(f"{path}: it has no texture to start from{why}; use system.geometry.start=color")
    if len(pictures) > 1:
        names = ", ".join(sorted(picture.name for picture in pictures))
        raise UserError(f"{path}: it has {len(pictures)} textures ({names}); bake them into one, or start=color")
    return read_picture(path, pictures.pop(), size)


def read_given_texture(mesh: Mesh, path: Path, size: int) -> Float[Tensor, "{size} {size} 3"]:
    """A picture of the user's, to be laid on a mesh's own coordinates in place of its texture; as `read_own_texture`.

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


def open_picture(what: str, content: bytes) -> Image.Image:
    """A picture of 8 bits for each channel.

    Args:
        what: the file, and its name there, for errors.

    Raises:
        UserError: it is too large or no picture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its size is checked here
            picture = Image.open(io.BytesIO(content))
        width, height = picture.size
        if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
            raise UserError(f"{what}: {width} x {height} pixels, at most {LONGEST_SIDE} along a side; scale it down")
        picture.load()
        return _eight_bits(picture)
    except Image.DecompressionBombError as error:
        raise UserError(f"{what}: far too large, at most {LONGEST_SIDE} pixels along a side; scale it down") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{what}: cannot be read as a picture: {error}") from error


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 bits as one of 8; Pillow would cut off what is brighter than 255."""
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray(np.rint(np.asarray(picture, np.float64).clip(0, 65535) / 257).astype(np.uint8))


def linear_from_srgb(colours: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """Light intensities of sRGB values (IEC 61966-2-1)."""
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def srgb_from_linear(intensities: Float[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
    """sRGB values of light intensities (IEC 61966-2-1)."""
    bright = 1.055 * np.maximum(intensities, 0.0031308) ** (1 / 2.4) - 0.055
    return np.where(intensities <= 0.0031308, 12.92 * intensities, bright)


def own_pictures(file: SourceFile) -> dict[str | int | None, OwnPicture]:
    """What each material shows that faces have; without those that show no picture.

    Raises:
        UserError: a picture is missing, lies outside of the mesh's folder, or is of a kind that cannot be opened.
    """
    if isinstance(file.document, Gltf):
        return _of_gltf(file.document, {index for index in file.materials if isinstance(index, int)})
    if file.kind == "obj":
        known = read_libraries(file.path, file.textures)
        names = {name: known[name].picture for name in file.materials if isinstance(name, str) and name in known}
    else:
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

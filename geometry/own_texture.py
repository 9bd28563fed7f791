"""The texture that a mesh file brings along: found, checked, read."""

import io
import warnings

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from core.errors import UserError
from geometry.gltf_file import BROKEN, Gltf
from geometry.mesh import Mesh
from geometry.mtl_file import read_libraries
from geometry.source_file import SourceFile, read_beside

#: Larger pictures are refused, along a side and altogether.
LONGEST_SIDE, MOST_PIXELS = 16384, 2**27


def read_own_texture(mesh: Mesh, size: int) -> Float[Tensor, "{size} {size} 3"]:
    """The colour texture of a mesh that was read, RGB in [0, 1], row 0 on top, brought to size x size.

    Raises:
        UserError: there is none, or more than one; it is missing, lies outside of the mesh's folder, is too large or no
            picture.
    """
    path = mesh.file.path
    pictures = _pictures(mesh.file) if mesh.uv is not None else {}
    if not pictures:
        raise UserError(f"{path}: it has no texture to start from; use system.geometry.start=color")
    if len(pictures) > 1:
        names = ", ".join(sorted(pictures))
        raise UserError(f"{path}: it has {len(pictures)} textures ({names}); bake them into one, or start=color")
    ((name, content),) = pictures.items()
    return _read(f"{path}: its texture '{name}'", content, size)


def _read(what: str, content: bytes, size: int) -> Float[Tensor, "{size} {size} 3"]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its size is checked here
            picture = Image.open(io.BytesIO(content))
        width, height = picture.size
        if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
            raise UserError(f"{what}: {width} x {height} pixels, at most {LONGEST_SIDE} along a side; scale it down")
        filtering = Image.Resampling.BOX if min(width, height) >= size else Image.Resampling.BICUBIC
        resized = _eight_bits(picture).convert("RGB").resize((size, size), filtering)
    except Image.DecompressionBombError as error:
        raise UserError(f"{what}: far too large, at most {LONGEST_SIDE} pixels along a side; scale it down") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{what}: cannot be read as a picture: {error}") from error
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 bits as one of 8; Pillow would cut off what is brighter than 255."""
    if not picture.mode.startswith("I"):
        return picture
    return Image.fromarray(np.rint(np.asarray(picture, np.float64).clip(0, 65535) / 257).astype(np.uint8))


def _pictures(file: SourceFile) -> dict[str, bytes]:
    """The pictures of the materials that faces have, by name."""
    if isinstance(file.document, Gltf):
        return _of_gltf(file.document, {index for index in file.materials if isinstance(index, int)})
    names = file.textures
    if file.kind == "obj":
        known = read_libraries(file.path, file.textures)
        names = [known[name].picture for name in file.materials if isinstance(name, str) and name in known]
    return {name: read_beside(file.path, name) for name in names if name}


def _of_gltf(gltf: Gltf, materials: set[int]) -> dict[str, bytes]:
    found = {}
    try:
        for index in sorted(materials):
            texture = gltf.item("materials", index).get("pbrMetallicRoughness", {}).get("baseColorTexture")
            if texture is not None:
                number = gltf.item("textures", texture["index"])["source"]
                image = gltf.item("images", number)
                content = gltf.view(image["bufferView"]) if "bufferView" in image else gltf.resource(image["uri"])
                found[image.get("name") or f"image {number}"] = content
    except BROKEN as error:
        raise UserError(f"{gltf.path}: its materials refer to textures that are not there ({error})") from error
    return found

"""The texture that a mesh file brings along: found, checked, read."""

import base64
import binascii
import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from core.errors import UserError
from geometry.gltf_file import gltf_tree
from geometry.own_folder import OwnFolder
from geometry.surface_file import SurfaceFile

#: Larger pictures are refused, along a side and altogether.
LONGEST_SIDE, MOST_PIXELS = 16384, 2**27
_PLY_TEXTURE = re.compile(rb"^comment TextureFile (.+?)\r?$", re.MULTILINE)
_OBJ_MATERIALS = re.compile(rb"^mtllib\s+(.+?)\s*$", re.MULTILINE)
_MTL_PICTURE = re.compile(rb"^\s*map_Kd\s+(?:-\S+(?:\s+(?:on|off|[-\d.]+))+\s+)*(.+?)\s*$", re.MULTILINE)


def read_own_texture(file: SurfaceFile, size: int) -> Float[Tensor, "{size} {size} 3"]:
    """A mesh's own colour texture, RGB in [0, 1], row 0 on top, brought to size x size.

    Raises:
        UserError: there is none, or more than one; it is missing, lies outside of the mesh's folder, is too large or no
            picture.
    """
    content = file.path.read_bytes()
    find = {"obj": _of_obj, "ply": _of_ply, "glb": _of_gltf, "gltf": _of_gltf}.get(file.kind)
    pictures = find(file.path, content) if find and file.uv is not None else {}
    if not pictures:
        raise UserError(f"{file.path}: it has no texture to start from; use system.geometry.start=color")
    if len(pictures) > 1:
        names = ", ".join(sorted(pictures))
        raise UserError(f"{file.path}: it has {len(pictures)} textures ({names}); bake them into one, or start=color")
    ((name, bytes_of_it),) = pictures.items()
    return _read(f"{file.path}: its texture '{name}'", bytes_of_it, size)


def _read(what: str, content: bytes, size: int) -> Float[Tensor, "{size} {size} 3"]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its size is checked here
            picture = Image.open(io.BytesIO(content))
        width, height = picture.size
        if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
            raise UserError(f"{what}: {width} x {height} pixels, at most {LONGEST_SIDE} along a side; scale it down")
        filtering = Image.Resampling.BOX if min(width, height) >= size else Image.Resampling.BICUBIC
        resized = picture.convert("RGB").resize((size, size), filtering)
    except Image.DecompressionBombError as error:
        raise UserError(f"{what}: far too large, at most {LONGEST_SIDE} pixels along a side; scale it down") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{what}: cannot be read as a picture: {error}") from error
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255)


def _of_obj(path: Path, content: bytes) -> dict[str, bytes]:
    folder = OwnFolder(path)
    names: dict[str, None] = {}
    for library in _OBJ_MATERIALS.findall(content):
        for name in _MTL_PICTURE.findall(folder.get(library.decode(errors="replace"))):
            names[name.decode(errors="replace")] = None
    return {name: folder.get(name) for name in names}


def _of_ply(path: Path, content: bytes) -> dict[str, bytes]:
    header = content.split(b"end_header")[0]
    return {name: OwnFolder(path).get(name) for name in map(bytes.decode, _PLY_TEXTURE.findall(header))}


def _of_gltf(path: Path, content: bytes) -> dict[str, bytes]:
    tree, binary = gltf_tree(path, content)
    try:
        used = {
            primitive.get("material") for mesh in tree.get("meshes", []) for primitive in mesh.get("primitives", [])
        } - {None}
        textures = [
            material.get("pbrMetallicRoughness", {}).get("baseColorTexture", {}).get("index")
            for material in (tree["materials"][index] for index in sorted(used))
        ]
        images = {tree["textures"][index]["source"] for index in textures if index is not None}
        return {
            tree["images"][index].get("name") or f"image {index}": _gltf_image(path, tree, index, binary)
            for index in sorted(images)
        }
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise UserError(f"{path}: its materials refer to textures that are not there ({error})") from error


def _gltf_image(path: Path, tree: dict[str, Any], index: int, binary: bytes) -> bytes:
    image = tree["images"][index]
    if "bufferView" in image:
        view = tree["bufferViews"][image["bufferView"]]
        buffer = tree["buffers"][view["buffer"]]
        # In a binary file the first buffer is the chunk behind the JSON, after its 8 bytes of length and kind.
        data = _resource(path, buffer["uri"]) if "uri" in buffer else binary[8:]
        begin = view.get("byteOffset", 0)
        return data[begin : begin + view["byteLength"]]
    return _resource(path, image["uri"])


def _resource(path: Path, uri: str) -> bytes:
    if not uri.startswith("data:"):
        return OwnFolder(path).get(uri)
    try:
        return base64.b64decode(uri.partition(",")[2], validate=True)
    except binascii.Error as error:
        raise UserError(f"{path}: broken embedded data: {error}") from error

"""What is compressed in glTF files, unpacked by packages that only such files need (requirements-gltf.txt).

Meshes of Draco, buffer views of meshoptimizer, pictures of Basis Universal.

Source: KHR_draco_mesh_compression, EXT_meshopt_compression, KHR_meshopt_compression, KHR_texture_basisu.
"""

import importlib
from typing import Any

import numpy as np
from jaxtyping import UInt8

from core.errors import UserError

DRACO = "KHR_draco_mesh_compression"
MESHOPT = ("EXT_meshopt_compression", "KHR_meshopt_compression")
BASIS = "KHR_texture_basisu"


def draco_mesh(what: object, content: bytes) -> Any:
    """A mesh of Draco, as its package has it.

    Args:
        what: the file, for errors.

    Raises:
        UserError: the package is not installed.
        ValueError: it is broken.
    """
    draco = _package("DracoPy", what, DRACO)
    try:
        return draco.decode(content)
    except Exception as error:  # DracoPy raises classes of its own
        raise ValueError(f"it holds no mesh of Draco: {error}") from error


def meshopt_view(what: object, about: dict[str, Any], content: bytes, most: int) -> bytes:
    """A buffer view as it was before meshoptimizer compressed it.

    Args:
        about: what the extension says of it.
        most: bytes that it may become.

    Raises:
        UserError: the package is not installed.
        Exception: of BROKEN (gltf_file.py), where it is broken.
    """
    count, stride = int(about["count"]), int(about["byteStride"])
    if count < 0 or stride < 1 or count * stride > most:
        raise ValueError(f"a compressed view has {count:,} elements of {stride:,} bytes; {most:,} bytes are unpacked")
    meshopt = _package("meshopt", what, MESHOPT[0])
    try:
        return meshopt.decode_gltf_buffer(content, count, stride, about["mode"], about.get("filter")).tobytes()
    except RuntimeError as error:
        raise ValueError(f"a compressed view is broken: {error}") from error


class BasisPicture:
    """A picture in KTX2, in the form that glTF allows there."""

    MARK = b"\xabKTX 20\xbb\r\n\x1a\n"

    def __init__(self, what: str, content: bytes) -> None:
        """Read its header.

        Raises:
            UserError: the package is not installed.
            ValueError: it is broken.
        """
        self._texture = _package("opengl_basisu", what, BASIS).open(content)
        self.size: tuple[int, int] = (self._texture.width, self._texture.height)

    def pixels(self) -> UInt8[np.ndarray, "rows columns 4"]:
        """RGBA, row 0 on top.

        Raises:
            ValueError: it is broken.
        """
        return self._texture.transcode("rgba8").data


def _package(name: str, what: object, extension: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        ways = "pip install -r requirements-gltf.txt, or save it without compression"
        raise UserError(f"{what}: it is compressed ({extension}); {ways}") from error

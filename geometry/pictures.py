"""Pictures that mesh files bring along: opened, within bounds, in 8 bits; and sRGB."""

import io
import warnings

import numpy as np
from jaxtyping import Float
from PIL import Image

from core.errors import UserError
from geometry.gltf_packed import BasisPicture

#: Larger pictures are refused, along a side and altogether.
LONGEST_SIDE, MOST_PIXELS = 16384, 2**27


def open_picture(what: str, content: bytes) -> Image.Image:
    """A picture of 8 bits for each channel.

    Args:
        what: the file, and its name there, for errors.

    Raises:
        UserError: it is too large or no picture, or needs a package that is not installed.
    """
    try:
        if content.startswith(BasisPicture.MARK):
            packed = BasisPicture(what, content)
            _check_size(what, packed.size)
            return Image.fromarray(packed.pixels())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # its size is checked here
            picture = Image.open(io.BytesIO(content))
        _check_size(what, picture.size)
        picture.load()
        return _eight_bits(picture)
    except Image.DecompressionBombError as error:
        raise UserError(f"{what}: far too large, at most {LONGEST_SIDE} pixels along a side; scale it down") from error
    except (OSError, ValueError, SyntaxError) as error:
        raise UserError(f"{what}: cannot be read as a picture: {error}") from error


def _check_size(what: str, size: tuple[int, int]) -> None:
    width, height = size
    if max(width, height) > LONGEST_SIDE or width * height > MOST_PIXELS:
        raise UserError(f"{what}: {width} x {height} pixels, at most {LONGEST_SIDE} along a side; scale it down")


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

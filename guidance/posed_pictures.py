"""A folder of pictures whose cameras are known: PNG files and `cameras.json`, a list of

    {"file": "000.png", "elevation_deg": 20, "azimuth_deg": 0, "radius": 1.6, "fovy_deg": 47}

with angles in degrees and the radius in world units. Where a picture is transparent, the background of the training
shows through it, so that an object cut out of its surroundings is learnt without them.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from core.cameras import orbit_cameras
from core.errors import UserError
from core.files import parse_json
from core.types import Cameras

CAMERAS_FILE = "cameras.json"
_ANGLES = ("elevation_deg", "azimuth_deg", "radius", "fovy_deg")


@dataclass(frozen=True)
class PosedPictures:
    """Pictures on the disk and the cameras they were taken with, in the same order."""

    cameras: Cameras
    files: tuple[Path, ...]

    def pictures(self, size: int) -> Float[Tensor, "views size size 4"]:
        """The pictures in [0, 1], area-averaged to size x size: RGB and opacity, which is 1 where they have none.

        Raises:
            UserError: naming the file that is missing or is no picture.
        """
        return torch.stack([read_picture(file, size) for file in self.files])

    def index_of(self, cameras: Cameras) -> Int[Tensor, "views"]:
        """Which known camera each of the given ones is.

        Raises:
            ValueError: if one of them is none of the known.
        """
        known = self.cameras.c2w.to(cameras.c2w.device).flatten(1)
        difference = cameras.c2w.flatten(1)[:, None] - known  # cdist's matrix product would blur what is equal
        distance, index = difference.norm(dim=-1).min(dim=1)
        if not bool((distance < 1e-4).all()):
            raise ValueError("a view from a camera that the folder of known pictures does not hold")
        return index


def read_posed_pictures(folder: Path) -> PosedPictures:
    """Read `cameras.json`; the pictures are opened later.

    Raises:
        UserError: naming the file and what is wrong in it.
    """
    path = folder / CAMERAS_FILE
    try:
        views = parse_json(path.read_text(encoding="utf-8"))
        angles = [torch.tensor([float(view[name]) for view in views]) for name in _ANGLES]
        files = tuple(folder / _plain_name(view["file"]) for view in views)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file. A folder of known views holds pictures and cameras.json") from error
    except KeyError as error:
        raise UserError(f"{path}: a view without {error}; each has file, {', '.join(_ANGLES)}") from error
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path}: {error}") from error
    if not files:
        raise UserError(f"{path}: an empty list of views")
    return PosedPictures(orbit_cameras(*angles, height=1, width=1), files)


def _plain_name(name: Any) -> str:
    if not isinstance(name, str) or Path(name).name != name:
        raise ValueError(f"{name!r} is not the name of a file in this folder")
    return name


def read_picture(path: Path, size: int) -> Float[Tensor, "size size 4"]:
    """The middle square of a picture, RGB and opacity in [0, 1], area-averaged to size x size.

    Raises:
        UserError: it is missing or no picture.
    """
    try:
        with Image.open(path) as picture:
            side = min(picture.size)
            left, top = ((length - side) // 2 for length in picture.size)
            square = picture.convert("RGBA").crop((left, top, left + side, top + side))
            resized = square.resize((size, size), Image.Resampling.BOX)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as a picture: {error}") from error
    return torch.from_numpy(np.asarray(resized, dtype=np.float32) / 255)

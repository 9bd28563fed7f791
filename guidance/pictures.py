"""Pictures of one object in a folder, with or without their cameras."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import UserError
from core.types import Cameras
from guidance.posed_pictures import CAMERAS_FILE, read_picture, read_posed_pictures

#: Endings of the files that are taken for pictures.
ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")


@dataclass(frozen=True)
class Pictures:
    """Pictures on the disk; their cameras in the same order, where they are known."""

    files: tuple[Path, ...]
    cameras: Cameras | None

    def pictures(self, size: int) -> Float[Tensor, "pictures size size 3"]:
        """The middle square of each picture, RGB in [0, 1], area-averaged to size x size; grey where it is transparent.

        Raises:
            UserError: naming the file that is missing or is no picture.
        """
        rgb, opacity = torch.stack([read_picture(file, size) for file in self.files]).split([3, 1], dim=-1)
        return opacity * rgb + (1 - opacity) / 2


def read_pictures(folder: Path) -> Pictures:
    """The pictures of a folder; those of its cameras.json, where it has one. They are opened later.

    Raises:
        UserError: there is no such folder, or nothing in it.
    """
    if (folder / CAMERAS_FILE).is_file():
        posed = read_posed_pictures(folder)
        return Pictures(posed.files, posed.cameras)
    found = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in ENDINGS] if folder.is_dir() else []
    if not found:
        raise UserError(f"pictures: {folder} holds no pictures ({', '.join(ENDINGS)}); give a folder of some")
    return Pictures(tuple(found), None)

"""How a denoiser is told where each picture was taken from, as `cameras.json` of its folder says, for example

    {"n_together": 4, "ray_maps": true, "pose": true, "up_axis": "y"}

- `n_together`: views of one object that the denoiser looks at together (guidance/joined_views.py).
- `ray_maps`: six further input channels behind the latents': the unit direction d of the ray through the middle of each
  latent cell, and its moment o x d, in world units (CAT3D, arXiv:2405.10314).
- `pose`: 16 numbers in the UNet's `class_labels`: the camera-to-world matrix row by row, with OpenGL's camera axes and
  the camera moved to unit distance (MVDream, arXiv:2308.16512).
- `up_axis`: of the world that both are told in. `y` is ours; `z` is MVDream's, where (x, y, z) becomes (x, -z, y).

If no camera is given, both inputs are zeros.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from core.cameras import camera_rays
from core.errors import UserError, did_you_mean, require
from core.files import parse_json
from core.types import Cameras, TensorRecord

UpAxis = Literal["y", "z"]
#: Channels of a ray map, and numbers of a pose.
RAY_CHANNELS, POSE_NUMBERS = 6, 16
FILE_NAME = "cameras.json"


@dataclass(frozen=True)
class ToldCameras(TensorRecord):
    """What a denoiser is told of each picture's camera; None where it is not told that."""

    rays: Float[Tensor, "views 6 height width"] | None
    """Unit direction and moment, channels first."""
    poses: Float[Tensor, "views 16"] | None

    def repeated(self, times: int) -> "ToldCameras":
        """The same cameras for a batch that holds the views several times, one set after the other."""
        return self.mapped(lambda told: told.repeat(times, *[1] * (told.ndim - 1)))


@dataclass(frozen=True)
class CameraConditioning:
    """What a denoiser is told of cameras, and in what convention."""

    n_together: int
    """Views of one object that it looks at together."""
    ray_maps: bool
    """Whether it takes ray maps as further input channels."""
    pose: bool
    """Whether it takes poses as class labels."""
    up_axis: UpAxis
    """Which axis points upward in the world that it was trained in."""

    def __post_init__(self) -> None:
        require(self.n_together >= 1, f"n_together: at least 1, got {self.n_together}")
        require(self.ray_maps or self.pose, "ray_maps, pose: both are false, so that no camera would be told")

    @property
    def n_channels(self) -> int:
        """Input channels of the denoiser beside those of the latents."""
        return RAY_CHANNELS if self.ray_maps else 0

    def tell(self, cameras: Cameras, size: int) -> ToldCameras:
        """What the denoiser is told of cameras, for latents of `size` cells along each side."""
        turn = cameras.c2w.new_tensor(_TURNS[self.up_axis])
        rays, poses = None, None
        if self.ray_maps:
            seen = camera_rays(cameras.resized(size, size))
            parts = (seen.directions, torch.linalg.cross(seen.origins, seen.directions))
            rays = torch.cat([part @ turn.T for part in parts], dim=-1).movedim(-1, 1)
        if self.pose:
            c2w = cameras.c2w.clone()
            c2w[:, :3] = turn @ c2w[:, :3]
            c2w[:, :3, 3] = F.normalize(c2w[:, :3, 3], dim=-1)
            poses = c2w.flatten(1)
        return ToldCameras(rays, poses)

    def untold(self, n_views: int, size: int, device: torch.device) -> ToldCameras:
        """What stands for cameras that are not told."""
        rays = torch.zeros(n_views, RAY_CHANNELS, size, size, device=device) if self.ray_maps else None
        return ToldCameras(rays, torch.zeros(n_views, POSE_NUMBERS, device=device) if self.pose else None)


#: From our world, y up, to one with another axis up. Turns without mirroring, so that moments turn as directions do.
_TURNS: dict[UpAxis, list[list[float]]] = {
    "y": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "z": [[1, 0, 0], [0, 0, -1], [0, 1, 0]],
}


def read_camera_conditioning(folder: Path | None) -> CameraConditioning | None:
    """What a model's folder says of the cameras that its denoiser is told; None where it holds no `cameras.json`.

    Raises:
        UserError: naming the file and what is wrong in it.
    """
    path = None if folder is None else folder / FILE_NAME
    if path is None or not path.is_file():
        return None
    try:
        return _parse(parse_json(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as JSON: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _parse(content: Any) -> CameraConditioning:
    wanted = {field.name: field.type for field in fields(CameraConditioning)}
    if not isinstance(content, dict):
        raise UserError(f"a JSON object with {', '.join(wanted)} is wanted, got a {type(content).__name__}")
    for key in content:
        if key not in wanted:
            raise UserError(f"{key}: no such entry. {did_you_mean(str(key), wanted)}")
    for key, kind in wanted.items():
        if key not in content:
            raise UserError(f"{key}: missing; {', '.join(wanted)} are wanted")
        if kind in (int, bool) and type(content[key]) is not kind:  # a truth value is no number, though Python says so
            word = "true or false" if kind is bool else "a whole number"
            raise UserError(f"{key}: {word} is wanted, got {content[key]!r}")
    if content["up_axis"] not in get_args(UpAxis):
        raise UserError(f"up_axis: {' or '.join(get_args(UpAxis))} is wanted, got {content['up_axis']!r}")
    return CameraConditioning(**content)

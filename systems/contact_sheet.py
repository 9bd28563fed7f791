"""Pictures for people: several views of what a system has trained, in colour, opacity, depth and normals."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from core.files import whole_file
from core.kinds import System
from core.types import Cameras, RenderOutput

#: Pixels between the pictures of a sheet.
GAP = 4
#: Colour, opacity, depth and normals.
N_ROWS = 4


def contact_sheet(system: System, n_views: int = 4, magnify: int = 1) -> NDArray[np.uint8]:
    """One column per view from the front on around the object; rows: decoded colour, opacity, depth, normals.

    Args:
        magnify: size of the rendered latents, in multiples of what guidance works at.

    Returns:
        Rows x columns x RGB.
    """
    size = system.guidance.latent_size * magnify
    pictures = view_pictures(system, system.validation_cameras(n_views, size))
    return tiled([list(row) for row in pictures.values()])


def view_pictures(system: System, cameras: Cameras) -> dict[str, Float[Tensor, "views rows columns 3"]]:
    """Pictures of views by what they show (colour, opacity, depth, normal), RGB in [0, 1], all of the colours' size."""
    render = system.render(cameras, with_normals=True)
    colour = system.decode(render.latents)
    maps = {"opacity": shown_opacity(render), "depth": shown_depth(render), "normal": shown_normals(render)}
    _, rows, columns, _ = colour.shape
    return {"colour": colour, **{name: enlarged(picture, (rows, columns)) for name, picture in maps.items()}}


def shown_opacity(render: RenderOutput) -> Float[Tensor, "views height width 3"]:
    """White where the object is."""
    return render.opacity[..., None].expand(*render.opacity.shape, 3)


def shown_depth(render: RenderOutput) -> Float[Tensor, "views height width 3"]:
    """Near is bright and far is dark, over the range that all views together see; black beside the object."""
    seen = render.opacity > 0.5
    if not bool(seen.any()):
        return torch.zeros(*render.depth.shape, 3, device=render.depth.device)
    near, far = render.depth[seen].min(), render.depth[seen].max()
    nearness = ((far - render.depth) / (far - near).clamp_min(1e-6)).clamp(0, 1)
    return ((0.25 + 0.75 * nearness) * render.opacity)[..., None].expand(*render.depth.shape, 3)


def shown_normals(render: RenderOutput) -> Float[Tensor, "views height width 3"]:
    """(n + 1) / 2 of the outward unit normal in world space: red is +x, green up, blue the front; black elsewhere.

    Raises:
        ValueError: the views were rendered without normals.
    """
    if render.normals is None:
        raise ValueError("render with_normals=True")
    unit = F.normalize(render.normals, dim=-1)
    return (unit + 1) / 2 * render.opacity[..., None]


def tiled(rows: list[list[Float[Tensor, "rows columns 3"]]]) -> NDArray[np.uint8]:
    """Pictures of one size as one, with white gaps between them; RGB bytes."""
    height, width, _ = rows[0][0].shape
    n_columns = max(len(row) for row in rows)
    sheet = np.full((len(rows) * (height + GAP) - GAP, n_columns * (width + GAP) - GAP, 3), 255, dtype=np.uint8)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top, left = i * (height + GAP), j * (width + GAP)
            sheet[top : top + height, left : left + width] = to_bytes(picture)
    return sheet


def first_tile(sheet: NDArray[np.uint8], n_rows: int) -> NDArray[np.uint8]:
    """The upper left picture of a sheet of square pictures in so many rows."""
    side = (sheet.shape[0] + GAP) // n_rows - GAP
    return sheet[:side, :side]


def to_bytes(picture: Float[Tensor, "*shape 3"]) -> NDArray[np.uint8]:
    """RGB in [0, 1] as bytes, rounded."""
    return (picture.detach().float().clamp(0, 1) * 255).round().byte().cpu().numpy()


def save_png(path: Path, picture: NDArray[np.uint8]) -> Path:
    """Write a picture, whole or not at all."""
    with whole_file(path) as unfinished:
        Image.fromarray(picture).save(unfinished, format="PNG")
    return path


def enlarged(
    pictures: Float[Tensor, "views height width 3"], size: tuple[int, int]
) -> Float[Tensor, "views rows columns 3"]:
    """Pictures in another size (rows, columns), interpolated."""
    return F.interpolate(pictures.movedim(-1, 1), size, mode="bilinear").movedim(1, -1)

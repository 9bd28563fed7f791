"""Pictures of a mesh file as an independent reader sees them: trimesh reads it, rays are cast, light is flat.

Nothing of the exporters is used: what they get wrong shows here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from scipy import ndimage

from core.cameras import camera_rays
from core.types import Cameras


@dataclass(frozen=True)
class MeshPictures:
    """Views of one mesh."""

    colours: Float[np.ndarray, "views rows columns 3"]
    """sRGB in [0, 1]; what is behind the object is black."""
    mask: Bool[np.ndarray, "views rows columns"]
    """Where the pixel's central ray hits the mesh."""


class MeshFile:
    """A mesh as trimesh reads it from a GLB, OBJ or PLY."""

    def __init__(self, path: Path) -> None:
        (self.mesh,) = trimesh.load_scene(path, process=False).geometry.values()

    def pictures(self, cameras: Cameras) -> MeshPictures:
        """The texture's (or vertices') colours as they are, without light, at the centre of each pixel."""
        rays = camera_rays(cameras.to("cpu"))
        origins, directions = (each.reshape(-1, 3).double().numpy() for each in (rays.origins, rays.directions))
        face = self.mesh.ray.intersects_first(origins, directions)
        hit = np.flatnonzero(face >= 0)
        colours = np.zeros((len(origins), 3))
        shares = _shares(self.mesh.triangles[face[hit]], origins[hit], directions[hit])
        colours[hit] = self._colours(face[hit], shares)
        shape = (len(cameras), cameras.height, cameras.width)
        return MeshPictures(colours.reshape(*shape, 3), (face >= 0).reshape(shape))

    def _colours(self, face: NDArray, shares: NDArray) -> NDArray:
        visual: Any = self.mesh.visual
        corners = self.mesh.faces[face]
        if visual.kind != "texture":
            return np.einsum("pc,pck->pk", shares, visual.vertex_colors[corners][..., :3] / 255)
        uv = np.einsum("pc,pck->pk", shares, visual.uv[corners])
        picture = getattr(visual.material, "baseColorTexture", None) or visual.material.image
        return _looked_up(np.asarray(picture.convert("RGB")) / 255, uv)


def _shares(triangles: NDArray, origins: NDArray, directions: NDArray) -> NDArray:
    """Barycentrics of the points at which rays cross the planes of triangles (Cramer's rule)."""
    a, b, c = triangles.transpose(1, 0, 2)
    across = np.cross(directions, c - a)
    determinant = (across * (b - a)).sum(axis=1)
    from_a = origins - a
    of_b = (from_a * across).sum(axis=1) / determinant
    of_c = (directions * np.cross(from_a, b - a)).sum(axis=1) / determinant
    return np.stack([1 - of_b - of_c, of_b, of_c], axis=1).clip(0, 1)


def _looked_up(texture: NDArray, uv: NDArray) -> NDArray:
    """Bilinear, v upward as trimesh has it."""
    rows, columns, _ = texture.shape
    where = [(1 - uv[:, 1]) * rows - 0.5, uv[:, 0] * columns - 0.5]
    channels = [ndimage.map_coordinates(texture[..., i], where, order=1, mode="grid-wrap") for i in range(3)]
    return np.stack(channels, axis=1)

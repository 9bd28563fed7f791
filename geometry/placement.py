"""Where a mesh stands in the scene: from its own coordinates to the world's, in steps that are all settings.

The order: the up axis becomes +y; rotation about the x axis, then y, then z; centring; scaling. Nothing else moves it.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from core.errors import require
from geometry.mesh import Mesh

_UP = {
    "x": np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
    "y": np.eye(3),
    "z": np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]]),
}


@dataclass(frozen=True)
class Placement:
    """How a mesh is turned, moved and scaled."""

    center: Literal["box", "none"] = "box"
    """`box` moves the middle of the bounding box to the origin, `none` leaves the mesh where it is."""
    scale: Literal["none"] | float = 0.7
    """Largest distance of a vertex from the origin after centring, in world units; `none` keeps the mesh's size."""
    up_axis: Literal["x", "y", "z"] = "y"
    """The mesh's own axis that points up."""
    rotation_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Turns about the world's x axis, then y, then z, counter-clockwise seen from the axis's tip."""

    def __post_init__(self) -> None:
        require(self.scale == "none" or 0 < self.scale < np.inf, f"scale: above 0, or none, got {self.scale}")
        turns = self.rotation_deg
        require(bool(np.isfinite(turns).all()), f"rotation_deg: three finite numbers, got {turns}")

    def matrix(self, mesh: Mesh) -> Float[np.ndarray, "4 4"]:
        """The similarity that takes points in the mesh's own coordinates to the world (p' = M p, homogeneous)."""
        used = mesh.vertices[np.unique(mesh.faces)]
        turn = Rotation.from_euler("xyz", self.rotation_deg, degrees=True).as_matrix() @ _UP[self.up_axis]
        turned = used @ turn.T
        middle = (turned.min(axis=0) + turned.max(axis=0)) / 2 if self.center == "box" else np.zeros(3)
        reach = float(np.linalg.norm(turned - middle, axis=1).max())
        factor = 1.0 if self.scale == "none" else self.scale / reach
        matrix = np.eye(4)
        matrix[:3, :3] = factor * turn
        matrix[:3, 3] = -factor * middle
        return matrix


def placed(mesh: Mesh, matrix: Float[np.ndarray, "4 4"]) -> Mesh:
    """The mesh moved by a matrix that turns, scales by one factor, moves, and does not mirror."""
    turn = matrix[:3, :3]
    normals = None
    if mesh.normals is not None:
        normals = (mesh.normals @ turn.T / np.linalg.norm(turn[0])).astype(mesh.normals.dtype)
    return replace(mesh, vertices=mesh.vertices @ turn.T + matrix[:3, 3], normals=normals)


def seen_vertices(mesh: Mesh, placement: Placement, front_azimuth_deg: float) -> Float[np.ndarray, "vertices 3"]:
    """Vertices as cameras see them: placed, then turned so that the front looks along +z.

    Args:
        front_azimuth_deg: from which side the front is seen: 0 is +z, 90 is +x.
    """
    vertices = placed(mesh, placement.matrix(mesh)).vertices
    turn = np.radians(-front_azimuth_deg)
    about_y = np.array([[np.cos(turn), 0, np.sin(turn)], [0, 1, 0], [-np.sin(turn), 0, np.cos(turn)]])
    return vertices @ about_y.T

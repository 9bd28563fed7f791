"""Geometry buffers: what a camera sees of an object, before any colour, light or background.

A view is stored as one part index and one normal per sub-pixel (`SUPERSAMPLING` per pixel and axis), so that every
batch can paint, light and place the same view anew.
"""

from dataclasses import dataclass

import numpy as np
import trimesh
from embreex import rtcore_scene
from embreex.mesh_construction import TriangleMesh

from toybox.scenes import Scene
from toybox.world import load_world

EMPTY = 255  # the part index where no part is
SUPERSAMPLING = 2


@dataclass(frozen=True)
class View:
    """A camera on the orbit. Angles in degrees, radius in world units; azimuth 0 sees the front from +z, 90 sees +x."""

    elevation_deg: float
    azimuth_deg: float
    radius: float
    fovy_deg: float


def random_view(rng: np.random.Generator) -> View:
    """A view drawn evenly over the world's part of the sphere."""
    cameras = load_world().cameras
    low, high = np.sin(np.radians(cameras["elevation_deg"]))
    return View(
        elevation_deg=float(np.degrees(np.arcsin(rng.uniform(low, high)))),
        azimuth_deg=float(rng.uniform(-180, 180)),
        radius=float(rng.uniform(*cameras["radius"])),
        fovy_deg=float(rng.uniform(*cameras["fovy_deg"])),
    )


def view_rays(view: View, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Origin [3] and unit directions [size, size, 3] of a square picture's pixel centres, row 0 at the top."""
    elevation, azimuth = np.radians([view.elevation_deg, view.azimuth_deg])
    backward = np.array([np.sin(azimuth) * np.cos(elevation), np.sin(elevation), np.cos(azimuth) * np.cos(elevation)])
    right = np.array([np.cos(azimuth), 0.0, -np.sin(azimuth)])
    up = np.cross(backward, right)
    half = np.tan(np.radians(view.fovy_deg) / 2)
    steps = ((np.arange(size) + 0.5) / size * 2 - 1) * half
    directions = steps[None, :, None] * right - steps[:, None, None] * up - backward
    return backward * view.radius, directions / np.linalg.norm(directions, axis=-1, keepdims=True)


class Caster:
    """Casts rays at one mesh (embree); the same view always gives the same buffers."""

    def __init__(self, scene: Scene) -> None:
        mesh = scene.mesh
        self._scene = rtcore_scene.EmbreeScene()  # pyright: ignore[reportAttributeAccessIssue]
        TriangleMesh(self._scene, mesh.vertices.astype(np.float32), mesh.faces.astype(np.int32))
        self._face_part = scene.face_part
        self._normals = smooth_normals(mesh)
        self._faces = mesh.faces

    def cast(self, view: View, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Part index [size, size] uint8 (EMPTY outside the object) and unit normals [size, size, 3] int8 (of 127)."""
        parts = np.full(size * size, EMPTY, dtype=np.uint8)
        normals = np.zeros((size * size, 3), dtype=np.int8)
        where, hit, _ = self._strike(view, size)
        face, u, v = hit["primID"], hit["u"][:, None], hit["v"][:, None]
        corners = self._normals[face]
        normal = (1 - u - v) * corners[:, 0] + u * corners[:, 1] + v * corners[:, 2]
        normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
        parts[where] = self._face_part[face]
        normals[where] = np.round(normal * 127)
        return parts.reshape(size, size), normals.reshape(size, size, 3)

    def depth(self, view: View, size: int) -> np.ndarray:
        """Distance from the camera along its optical axis [size, size] float32, world units; 0 outside the object."""
        depth = np.zeros(size * size, dtype=np.float32)
        where, hit, forward = self._strike(view, size)
        depth[where] = hit["tfar"] * forward[where]
        return depth.reshape(size, size)

    def _strike(self, view: View, size: int) -> tuple[np.ndarray, dict[str, np.ndarray], np.ndarray]:
        """The pixels that show the object, what embree says of each, and the cosine of every ray with the axis."""
        origin, directions = view_rays(view, size)
        flat = directions.reshape(-1, 3)
        along = -flat @ origin
        beside = (origin @ origin) - along**2
        near = np.flatnonzero(beside <= load_world().object_radius ** 2 * 1.01)  # only rays that enter the ball
        origins = np.broadcast_to(origin.astype(np.float32), (len(near), 3)).copy()
        hit = self._scene.run(origins, flat[near].astype(np.float32), query="INTERSECT", output=True)
        struck = hit["primID"] >= 0
        found = {name: hit[name][struck] for name in ("primID", "u", "v", "tfar")}
        return near[struck], found, along / np.linalg.norm(origin)


def smooth_normals(mesh: trimesh.Trimesh, crease_deg: float = 35.0) -> np.ndarray:
    """Normals at face corners [faces, 3, 3]: the vertex normal where the surface is smooth, the face's at a crease."""
    corner = mesh.vertex_normals[mesh.faces]
    face = np.broadcast_to(mesh.face_normals[:, None], corner.shape)
    smooth = (corner * face).sum(axis=-1, keepdims=True) > np.cos(np.radians(crease_deg))
    return np.where(smooth, corner, face).astype(np.float32)

"""A painted mesh twice: as its file has it, to be written; and as cameras see it, to be coloured.

What is written keeps the file's own coordinates, faces and texture coordinates. Where the file had no usable ones, a
vertex is doubled for each further place in the new atlas, in the order of the faces' corners.

Kept bit for bit, in the same format and across formats: positions, u, and the order of faces and corners. So is v, but
for one case: glTF counts it downward, and between glTF and the others it becomes 1 - v, rounded once to float32. That
is exact for v from 1/2 to 2 and for every multiple of 2^-24 in [0, 1]; elsewhere in [0, 1] it is at most 2^-25 off (an
eight-thousandth of a texel of 4096), and no number in the file could be nearer. Nodes of a glTF file that place its
meshes are applied: what is written is in world coordinates.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from core.types import Cameras
from exporters.texture_bake import UnwrappedMesh
from geometry.surface_file import same_positions, v_upward
from geometry.textured_mesh import TexturedMesh
from renderers.rasterize import RayCaster

#: Faces around a point that meet at less than this angle are one smooth surface.
CREASE_DEG = 40.0


@dataclass(frozen=True)
class WrittenMesh:
    """Arrays of the file to be written."""

    vertices: Float[np.ndarray, "vertices 3"]
    normals: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    uv: Float[np.ndarray, "vertices 2"]
    """float32, v upward."""
    uv_downward: Float[np.ndarray, "vertices 2"] | None
    """float32, v downward, where the file had them so."""


def written_mesh(surface: TexturedMesh) -> WrittenMesh:
    """The mesh in its file's own coordinates."""
    file = surface.file
    if surface.uses_own_uv and file.uv is not None:
        upward = v_upward(file.uv, file.v_points_down).astype(np.float32)
        normals = creased_normals(file.vertices, file.faces, same_positions(file))
        return WrittenMesh(file.vertices, normals, file.faces, upward, file.uv if file.v_points_down else None)
    places = surface.corner_uv.cpu().numpy().reshape(-1, 2)
    keys = np.column_stack([file.faces.reshape(-1).astype(np.float64), places.astype(np.float64)])
    first, number = _first_of_each(keys)
    vertices, faces = file.vertices[file.faces.reshape(-1)[first]], number.reshape(-1, 3)
    _, position = np.unique(vertices, axis=0, return_inverse=True)
    normals = creased_normals(vertices, faces, position.reshape(-1)[faces])
    return WrittenMesh(vertices, normals, faces, places[first], None)


def seen_mesh(surface: TexturedMesh, cameras: Cameras) -> UnwrappedMesh:
    """The mesh as cameras see it, with normals toward them even where the file's faces look inward.

    Args:
        cameras: from all sides.
    """
    vertices, faces = surface.vertices.cpu(), surface.faces.cpu()
    turned = looks_away(surface, cameras)
    corners = vertices[faces].double().numpy()
    normals = corner_normals(corners, same_positions(surface.file), turned)
    uv = surface.corner_uv.cpu().double().numpy().reshape(-1, 2)
    keys = np.column_stack([corners.reshape(-1, 3), uv, normals.reshape(-1, 3).round(4)])
    first, number = _first_of_each(keys)
    return UnwrappedMesh(
        vertices=corners.reshape(-1, 3)[first].astype(np.float32),
        normals=normals.reshape(-1, 3)[first].astype(np.float32),
        faces=number.reshape(-1, 3),
        uv=uv[first].astype(np.float32),
    )


def looks_away(surface: TexturedMesh, cameras: Cameras) -> Bool[np.ndarray, "faces"]:
    """Faces that cameras see more of from behind: of an open sheet, or of a file whose faces are turned over."""
    vertices, faces = surface.vertices.cpu(), surface.faces.cpu()
    found = RayCaster(vertices, faces)(cameras.to("cpu"))
    a, b, c = vertices[faces].unbind(dim=1)
    normal = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=-1)
    toward = torch.nn.functional.normalize(cameras.c2w[:, None, :3, 3].cpu() - (a + b + c) / 3, dim=-1)
    facing = (toward * normal).sum(dim=-1)  # (views, faces)
    seen = torch.stack([torch.bincount(view[view >= 0], minlength=len(faces)) for view in found.face])
    return ((facing.sign() * seen).sum(dim=0) < 0).numpy()


def creased_normals(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"], position: Int[np.ndarray, "faces 3"]
) -> Float[np.ndarray, "vertices 3"]:
    """Unit normals of vertices: the mean over the faces' corners at it.

    Args:
        position: for each corner a number that is the same where positions are.
    """
    corner = corner_normals(vertices[faces].astype(np.float64), position, np.zeros(len(faces), dtype=bool))
    sums = np.zeros((len(vertices), 3))
    np.add.at(sums, faces.reshape(-1), corner.reshape(-1, 3))
    length = np.linalg.norm(sums, axis=-1, keepdims=True)
    return np.where(length > 1e-12, sums / np.maximum(length, 1e-12), [0.0, 1.0, 0.0]).astype(np.float32)


def corner_normals(
    corners: Float[np.ndarray, "faces 3 3"], position: Int[np.ndarray, "faces 3"], turned: Bool[np.ndarray, "faces"]
) -> Float[np.ndarray, "faces 3 3"]:
    """Unit normals at the faces' corners: the surface's where it is smooth there, the face's own at a crease.

    Args:
        position: for each corner a number that is the same where positions are.
        turned: faces whose normal is to be turned over.

    Source: Thuermer and Wuethrich, Computing Vertex Normals from Polygonal Facets (1998).
    """
    area = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area[turned] *= -1
    own = area / np.maximum(np.linalg.norm(area, axis=-1, keepdims=True), 1e-300)
    around = np.zeros((int(position.max()) + 1, 3))
    # Weighted by the angle at the corner, a box's corner looks evenly along its three faces, however these are split.
    for corner, angle in enumerate(_angles(corners).T):
        np.add.at(around, position[:, corner], angle[:, None] * own)
    around /= np.maximum(np.linalg.norm(around, axis=-1, keepdims=True), 1e-300)
    smooth = around[position]
    alike = (smooth * own[:, None]).sum(axis=-1, keepdims=True) > np.cos(np.radians(CREASE_DEG))
    return np.where(alike, smooth, own[:, None])


def _angles(corners: Float[np.ndarray, "faces 3 3"]) -> Float[np.ndarray, "faces 3"]:
    """Of the faces at their corners, in radians."""
    ahead, back = np.roll(corners, -1, axis=1) - corners, np.roll(corners, 1, axis=1) - corners
    return np.arctan2(np.linalg.norm(np.cross(ahead, back), axis=-1), (ahead * back).sum(axis=-1))


def _first_of_each(keys: Float[np.ndarray, "rows columns"]) -> tuple[Int[np.ndarray, "kept"], Int[np.ndarray, "rows"]]:
    """Where each different row occurs first, in that order, and for each row the number of what it equals."""
    _, first, number = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[number.reshape(-1)]

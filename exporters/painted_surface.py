"""A painted mesh twice: as its file has it, to be written; and as cameras see it, to be coloured.

What is written keeps the file's own coordinates, faces and texture coordinates. Where the file had no usable ones, a
vertex is doubled for each further place in the new atlas, in the order of the faces' corners.

Kept bit for bit, in the same format and across formats: positions, u, and the order of faces and corners. So is v, but
for one case: glTF counts it downward, and between glTF and the others it becomes 1 - v, rounded once to float32. That
is exact for v from 1/2 to 2 and for every multiple of 2^-24 in [0, 1]; elsewhere in [0, 1] it is at most 2^-25 off (an
eight-thousandth of a texel of 4096), and no number in the file could be nearer. Nodes of a glTF file that place its
meshes are applied: what is written is in world coordinates.
"""

import dataclasses

import numpy as np
import torch
from jaxtyping import Bool, Float, Int

from core.types import Cameras
from exporters.normals import corner_normals, creased_normals
from geometry.mesh import Mesh
from geometry.textured_mesh import TexturedMesh
from renderers.rasterize import RayCaster


def written_mesh(mesh: Mesh, corner_uv: Float[np.ndarray, "faces 3 2"] | None) -> Mesh:
    """A mesh in its file's own coordinates, with normals.

    Args:
        corner_uv: new texture coordinates, v upward; None: the file's own stay.
    """
    if corner_uv is not None:
        uv = corner_uv.reshape(-1, 2).astype(np.float32)
        corners = mesh.faces.reshape(-1)
        keys = np.column_stack([corners.astype(np.float64), np.nan_to_num(uv.astype(np.float64))])
        first, number = first_of_each(keys)
        mesh = mesh.with_vertices(corners[first], number.reshape(-1, 3))
        mesh = dataclasses.replace(mesh, uv=uv[first], v_down=False)
    return dataclasses.replace(mesh, normals=creased_normals(mesh))


def seen_mesh(surface: TexturedMesh, cameras: Cameras, corner_uv: Float[np.ndarray, "faces 3 2"] | None = None) -> Mesh:
    """The mesh as cameras see it, with normals toward them even where the file's faces look inward.

    Args:
        cameras: from all sides.
        corner_uv: other texture coordinates than the ones that it is painted by, v upward.
    """
    vertices, faces = surface.vertices.cpu(), surface.faces.cpu()
    turned = looks_away(surface, cameras)
    corners = vertices[faces].double().numpy()
    normals = corner_normals(corners, surface.mesh.position[surface.mesh.faces], turned)
    uv = (surface.corner_uv.cpu().double().numpy() if corner_uv is None else np.nan_to_num(corner_uv)).reshape(-1, 2)
    keys = np.column_stack([corners.reshape(-1, 3), uv, normals.reshape(-1, 3).round(4)])
    first, number = first_of_each(keys)
    return Mesh(
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


def first_of_each(keys: Float[np.ndarray, "rows columns"]) -> tuple[Int[np.ndarray, "kept"], Int[np.ndarray, "rows"]]:
    """Where each different row occurs first, in that order, and for each row the number of what it equals."""
    _, first, number = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order], rank[number.reshape(-1)]

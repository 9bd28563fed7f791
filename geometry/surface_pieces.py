"""The separate pieces of a triangle mesh, whether they are closed, and which of them nobody outside can see."""

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse import csgraph

from core.rays import RayTracer
from geometry.mesh import Mesh, face_normals

#: Rays from each looked-at face, and faces looked at in each piece.
N_DIRECTIONS, N_LOOKS = 96, 64
#: Rays start this share of the mesh's size off their face.
CLEARANCE = 1e-4


def pieces(faces: Int[np.ndarray, "faces 3"]) -> Int[np.ndarray, "faces"]:
    """The number of each face's piece, from 0; faces that share a vertex are of one piece."""
    links, n_vertices = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]]]), int(faces.max()) + 1
    graph = sparse.coo_array((np.ones(len(links), bool), (links[:, 0], links[:, 1])), shape=(n_vertices, n_vertices))
    _, label = csgraph.connected_components(graph, directed=False)
    _, number = np.unique(label[faces[:, 0]], return_inverse=True)
    return number.ravel()


def is_closed(faces: Int[np.ndarray, "faces 3"]) -> bool:
    """Whether every edge is run through once in each direction: watertight, and oriented throughout."""
    there = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    both_ways = np.concatenate([there, there[:, ::-1]])
    n_distinct = len(np.unique(there, axis=0))
    return n_distinct == len(there) == len(np.unique(both_ways, axis=0))


def without_hidden_pieces(mesh: Mesh) -> tuple[Mesh, int]:
    """The mesh without pieces that no ray from outside reaches (inner shells), and how many these were.

    A piece stays where any of many rays from its faces, in directions spread evenly, leaves the mesh: light goes both
    ways. Faces look outward; of large pieces, evenly spaced ones are asked.
    """
    piece = pieces(mesh.faces)
    n_pieces = int(piece.max()) + 1
    if n_pieces == 1:
        return mesh, 0
    seen = _seen_pieces(mesh, piece, n_pieces)
    if seen.all() or not seen.any():
        return mesh, 0
    return mesh.with_faces(mesh.faces[seen[piece]]), int((~seen).sum())


def _seen_pieces(mesh: Mesh, piece: Int[np.ndarray, "faces"], n_pieces: int) -> Bool[np.ndarray, "pieces"]:
    tracer, away, corners = RayTracer(mesh.vertices, mesh.faces), spread_directions(N_DIRECTIONS), mesh.corners
    starts = corners.mean(axis=1) + CLEARANCE * np.ptp(mesh.vertices, axis=0).max() * face_normals(corners)
    seen = np.zeros(n_pieces, dtype=bool)
    for number in range(n_pieces):
        own = np.flatnonzero(piece == number)
        looks = own[:: max(1, len(own) // N_LOOKS)]
        rays = np.tile(away, (len(looks), 1))
        seen[number] = not tracer.hits_any(np.repeat(starts[looks], len(away), axis=0), rays).all()
    return seen


def spread_directions(n: int) -> Float[np.ndarray, "n 3"]:
    """Unit vectors evenly over the sphere, on a spiral of the golden angle (Swinbank and Purser 2006)."""
    order = np.arange(n)
    height = 1 - (2 * order + 1) / n
    azimuth = order * np.pi * (3 - 5**0.5)
    level = np.sqrt(1 - height**2)
    return np.stack([level * np.cos(azimuth), height, level * np.sin(azimuth)], axis=1)

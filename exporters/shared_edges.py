"""The edges at which a surface's faces meet, and where the texture tears them apart."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse import csgraph

from geometry.mesh import Mesh

#: Texture coordinates that differ by more are two places.
APART = 1e-6


@dataclass(frozen=True)
class SharedEdges:
    """Edges that exactly two faces share, on the surface and in the texture.

    A half-edge is an edge as one face has it: face * 3 + the corner at which it begins.
    """

    sides: Int[np.ndarray, "edges 2"]
    """The half-edges of both faces."""
    same_way: Bool[np.ndarray, "edges"]
    """Whether both faces run along the edge in the same direction: one of them is turned over."""
    ends: Float[np.ndarray, "edges 2 3"]
    """Positions of the edge's ends, the same for both sides."""
    places: Float[np.ndarray, "edges 2 2 2"]
    """Texture coordinates of these ends, by side and end."""

    @cached_property
    def length(self) -> Float[np.ndarray, "edges"]:
        """On the surface, in world units."""
        return np.linalg.norm(self.ends[:, 1] - self.ends[:, 0], axis=-1)

    @cached_property
    def seam(self) -> Bool[np.ndarray, "edges"]:
        """Whether the two faces have the edge at different places of the texture."""
        apart = np.abs(self.places[:, 0] - self.places[:, 1]).max(axis=(1, 2), initial=0.0)
        return np.asarray(apart > APART)

    @property
    def faces(self) -> Int[np.ndarray, "edges 2"]:
        """The two faces of each edge."""
        return self.sides // 3


def shared_edges(mesh: Mesh) -> SharedEdges:
    """All edges between two faces of a mesh with texture coordinates, wherever they are on the surface."""
    faces, welded = mesh.faces, mesh.position[mesh.faces]
    joined = np.sort(np.stack([welded, np.roll(welded, -1, axis=1)], axis=-1).reshape(-1, 2), axis=1)
    _, edge, count = np.unique(joined, axis=0, return_inverse=True, return_counts=True)
    edge = edge.ravel()
    order = np.argsort(edge, kind="stable")
    shared = order[(count[edge[order]] == 2) & (joined[order, 0] != joined[order, 1])]
    sides = shared.reshape(-1, 2)
    same_way = welded.ravel()[sides[:, 0]] == welded.ravel()[sides[:, 1]]
    corners = faces[sides // 3, sides % 3], faces[sides // 3, (sides + 1) % 3]
    ends = np.stack(corners, axis=-1)
    ends[~same_way, 1] = ends[~same_way, 1, ::-1]
    places = mesh.uv_with(v_down=False)[ends].astype(np.float64)
    return SharedEdges(sides, same_way, mesh.vertices[ends[:, 0]].astype(np.float64), places)


def charts(edges: SharedEdges, n_faces: int) -> Int[np.ndarray, "faces"]:
    """For each face the number of its chart: faces that the texture does not tear apart."""
    one, other = edges.faces[~edges.seam].T
    graph = sparse.coo_array((np.ones(len(one)), (one, other)), shape=(n_faces, n_faces))
    return csgraph.connected_components(graph, directed=False)[1]

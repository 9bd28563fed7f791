"""Colours for what no picture shows, from its neighbours on the surface."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse
from scipy.sparse import csgraph
from scipy.sparse.linalg import spsolve
from scipy.spatial import KDTree

from geometry.mesh import Mesh

#: What nobody sees at all, on any surface.
GREY = 0.5


def fill_over_surface(
    mesh: Mesh, colours: Float[np.ndarray, "vertices 3"], known: Bool[np.ndarray, "vertices"]
) -> Float[np.ndarray, "vertices 3"]:
    """Known colours unchanged, and between them the smoothest interpolation over the surface.

    Every other vertex has the mean of its neighbours along edges, the near ones counting more (weight 1 / length): the
    discrete Dirichlet problem. So colours do not bleed through thin walls, as nearest-point colours would, and stay
    within the range of the known ones. Pieces of which nothing is known take the nearest known colour; grey, where none
    is known at all.
    """
    if not known.any():
        return np.full_like(colours, GREY)
    weld, places = mesh.position, np.unique(mesh.vertices, axis=0)  # seams double vertices
    welded_known = np.zeros(len(places), dtype=bool)
    welded_known[weld[known]] = True
    welded = np.zeros((len(places), 3))
    welded[weld[known]] = colours[known]

    graph = _neighbours(places, weld[mesh.faces])
    _, piece = csgraph.connected_components(graph, directed=False)
    reached = np.isin(piece, np.unique(piece[welded_known]))
    inner = np.flatnonzero(reached & ~welded_known)
    if len(inner):
        edge = np.flatnonzero(welded_known)
        degree = sparse.diags(np.asarray(graph.sum(axis=1)).ravel()[inner])
        system = (degree - graph[inner][:, inner]).tocsc()
        solution: Any = spsolve(system, graph[inner][:, edge] @ welded[edge])
        welded[inner] = solution.reshape(-1, 3)
    if not reached.all():
        _, nearest = KDTree(places[reached]).query(places[~reached])
        welded[~reached] = welded[reached][nearest]
    filled = welded[weld]
    filled[known] = colours[known]
    return filled


def _neighbours(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> sparse.csr_array:
    """Symmetric, with 1 / length for each edge."""
    edges = np.unique(np.sort(np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]]), axis=1), axis=0)
    edges = edges[edges[:, 0] != edges[:, 1]]
    length = np.linalg.norm(vertices[edges[:, 0]].astype(np.float64) - vertices[edges[:, 1]], axis=1)
    weight = 1 / np.maximum(length, 1e-9)
    one_way = sparse.coo_array((weight, (edges[:, 0], edges[:, 1])), shape=(len(vertices), len(vertices)))
    return (one_way + one_way.T).tocsr()

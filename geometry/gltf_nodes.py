"""Where the nodes of a glTF file's scene stand in the world, and the copies that a node makes of its mesh.

Source: Khronos, glTF 2.0 specification, section 3.5 (scenes); EXT_mesh_gpu_instancing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from geometry.gltf_file import Gltf
from geometry.gltf_material import material_names

INSTANCING = "EXT_mesh_gpu_instancing"
#: Copies that a node may make.
MOST_COPIES = 2**19


@dataclass(frozen=True, eq=False)
class Scene:
    """A file's nodes where its scene has them."""

    gltf: Gltf
    nodes: list[dict[str, Any]]
    order: list[int]
    """Numbers of the nodes: those of the scene, children after their parents, then the others."""
    n_shown: int
    """How many of them are in the scene."""
    world: Float[np.ndarray, "nodes 4 4"]
    """From each node's own coordinates to the world's, in that order."""
    names: dict[str | int | None, str]
    """What the file's materials are called."""


def placed_nodes(gltf: Gltf) -> Scene:
    """All nodes where the scene has them.

    A file without scenes is a library of meshes: all of its nodes count, or without nodes all of its meshes.
    """
    tree = gltf.tree
    nodes: list[dict[str, Any]] = tree.get("nodes", [])
    scenes = tree.get("scenes", [])
    if not scenes and not nodes:
        nodes = [{"mesh": index} for index in range(len(tree.get("meshes", [])))]
    children = {child for node in nodes for child in node.get("children", [])}
    tops = [index for index in range(len(nodes)) if index not in children]
    shown = gltf.item("scenes", tree.get("scene", 0)).get("nodes", []) if scenes else tops
    order, parents = list[int](), list[int]()
    seen = _walk(nodes, shown, order, parents, set())
    n_shown = len(order)
    _walk(nodes, [index for index in tops if index not in seen], order, parents, seen)  # joints may lie elsewhere
    world = _matrices([nodes[index] for index in order])
    for i, parent in enumerate(parents):
        if parent >= 0:
            world[i] = world[parent] @ world[i]
    return Scene(gltf, nodes, order, n_shown, world, material_names(gltf))


def _walk(
    nodes: list[dict[str, Any]], roots: list[int], order: list[int], parents: list[int], seen: set[int]
) -> set[int]:
    """Add nodes to a list in the order of the scene, and where each one's parent stands in it; -1 for a root."""
    waiting = [(root, -1) for root in reversed(roots)]
    while waiting:
        index, parent = waiting.pop()
        if not 0 <= index < len(nodes):
            raise IndexError(f"nodes has no {index}")
        if index in seen:
            raise ValueError(f"node {index} has two parents, or is its own")
        seen.add(index)
        waiting += [(child, len(order)) for child in reversed(nodes[index].get("children", []))]
        order.append(index)
        parents.append(parent)
    return seen


def _matrices(nodes: list[dict[str, Any]]) -> Float[np.ndarray, "nodes 4 4"]:
    """From each node's own coordinates to its parent's, of all nodes at once: there may be a hundred thousand."""
    turns = np.array([node.get("rotation", (0, 0, 0, 1)) for node in nodes], np.float64).reshape(-1, 4)
    scales = np.array([node.get("scale", (1, 1, 1)) for node in nodes], np.float64).reshape(-1, 3)
    moves = np.array([node.get("translation", (0, 0, 0)) for node in nodes], np.float64).reshape(-1, 3)
    matrices = _composed(moves, turns, scales)
    for i, node in enumerate(nodes):
        if "matrix" in node:
            matrices[i] = np.array(node["matrix"], np.float64).reshape(4, 4).T
    return matrices


def _composed(
    moves: Float[np.ndarray, "n 3"], turns: Float[np.ndarray, "n 4"], scales: Float[np.ndarray, "n 3"]
) -> Float[np.ndarray, "n 4 4"]:
    """Scaled, then turned by unit quaternions (x, y, z, w), then moved (section 3.5.3)."""
    matrices = np.tile(np.eye(4), (len(moves), 1, 1))
    length = np.linalg.norm(turns, axis=-1, keepdims=True)
    x, y, z, w = (turns / np.where(length > 0, length, 1.0)).T
    matrices[:, 0, :3] = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)], axis=-1)
    matrices[:, 1, :3] = np.stack([2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)], axis=-1)
    matrices[:, 2, :3] = np.stack([2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)], axis=-1)
    matrices[:, :3, :3] *= scales[:, None]
    matrices[:, :3, 3] = moves
    return matrices


def instances(gltf: Gltf, attributes: dict[str, int]) -> Float[np.ndarray, "instances 4 4"]:
    """Where a node's copies stand in its own coordinates."""
    still = {"TRANSLATION": (0, 0, 0), "ROTATION": (0, 0, 0, 1), "SCALE": (1, 1, 1)}
    given = {name: gltf.array(attributes[name], width=len(at)) for name, at in still.items() if name in attributes}
    (count,) = {len(values) for values in given.values()}
    if count > MOST_COPIES:
        raise ValueError(f"a node makes {count:,} copies of its mesh, at most {MOST_COPIES:,} are read")
    full = [np.asarray(given.get(name, np.tile(at, (count, 1))), np.float64) for name, at in still.items()]
    return _composed(*full)

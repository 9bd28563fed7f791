"""The triangles of a glTF file's scene in world coordinates: placed by nodes and instances, morphed, posed by skins.

Texture coordinates are those of each material's base colour, bit for bit where nothing transforms them. Animations do
not run: what is read is the pose that the nodes give.

Source: Khronos, glTF 2.0 specification, sections 3.5 (scenes), 3.7.2 (meshes, morph targets), 3.7.3 (skins);
EXT_mesh_gpu_instancing.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from geometry.gltf_file import BROKEN, Gltf, parsed
from geometry.gltf_material import base_colour_uv, material_names
from geometry.mesh import Mesh
from geometry.source_file import NO_UV, SourceFile, out_of_range, unreadable

log = logging.getLogger(__name__)

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
#: Vertices, and faces, of a scene at most.
MOST_PLACED = 2**23
INSTANCING = "EXT_mesh_gpu_instancing"


@dataclass(frozen=True, eq=False)
class _Scene:
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


@dataclass(frozen=True)
class _Look:
    """How a mesh appears: nodes of the same look place the same vertices."""

    mesh: int
    skin: int | None = None
    weights: tuple[float, ...] = ()


def read_gltf(content: bytes, path: Path) -> list[Mesh]:
    """The triangles of a glTF file, primitive after primitive, as often as nodes and instances place each.

    Raises:
        UserError: it is no glTF 2.0, is broken, or refers to files that may not be opened.
    """
    gltf = parsed(content, path)
    try:
        scene = _placed_nodes(gltf)
        if len(scenes := gltf.tree.get("scenes", [])) > 1:
            log.info("%s: of its %d scenes, number %d is read", path, len(scenes), gltf.tree.get("scene", 0))
        looks: dict[_Look, list[Float[np.ndarray, "places 4 4"]]] = {}
        for look, matrices in _looks(scene):
            looks.setdefault(look, []).append(matrices)
        found: list[Mesh] = []
        n_placed = 0
        for look in sorted(looks, key=lambda look: look.mesh):
            for number in range(len(gltf.item("meshes", look.mesh)["primitives"])):
                n_left = MOST_PLACED - n_placed
                mesh = _read_primitive(scene, look, number, np.concatenate(looks[look]), n_left)
                if mesh is not None:
                    n_placed += max(len(mesh.vertices), len(mesh.faces))
                    found.append(mesh)
        return found
    except BROKEN as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise unreadable(path, f"its parts do not fit together ({said})") from error


def triangles(gltf: Gltf, primitive: dict[str, Any], n_vertices: int) -> Int[np.ndarray, "faces 3"] | None:
    """A primitive's faces (section 3.7.2.1); None for points and lines.

    Raises:
        UserError: they name vertices that do not exist.
    """
    mode = primitive.get("mode", _TRIANGLES)
    if mode not in (_TRIANGLES, _STRIP, _FAN):
        return None
    listed = gltf.corners(primitive)
    corners = np.arange(n_vertices) if listed is None else listed.astype(np.int64)
    if len(corners) and corners.max() >= n_vertices:
        raise out_of_range(gltf.path)
    if mode == _TRIANGLES:
        return corners.reshape(-1, 3)
    first = np.arange(max(0, len(corners) - 2))
    if mode == _FAN:
        return corners[np.stack([first + 1, first + 2, np.zeros_like(first)], axis=-1)]
    odd = first % 2
    return corners[np.stack([first, first + 1 + odd, first + 2 - odd], axis=-1)]


def _placed_nodes(gltf: Gltf) -> _Scene:
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
    shown = scenes[tree.get("scene", 0)].get("nodes", []) if scenes else tops
    order, parents = list[int](), list[int]()
    seen = _walk(nodes, shown, order, parents, set())
    n_shown = len(order)
    _walk(nodes, [index for index in tops if index not in seen], order, parents, seen)  # joints may lie elsewhere
    world = _matrices([nodes[index] for index in order])
    for i, parent in enumerate(parents):
        if parent >= 0:
            world[i] = world[parent] @ world[i]
    return _Scene(gltf, nodes, order, n_shown, world, material_names(gltf))


def _walk(
    nodes: list[dict[str, Any]], roots: list[int], order: list[int], parents: list[int], seen: set[int]
) -> set[int]:
    """Add nodes to a list in the order of the scene, and where each one's parent stands in it; -1 for a root."""
    waiting = [(root, -1) for root in reversed(roots)]
    while waiting:
        index, parent = waiting.pop()
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


def _looks(scene: _Scene) -> Iterator[tuple[_Look, Float[np.ndarray, "places 4 4"]]]:
    """What the scene shows, node after node, and where."""
    for index, world in zip(scene.order[: scene.n_shown], scene.world, strict=False):
        node = scene.nodes[index]
        if "mesh" not in node:
            continue
        weights = node.get("weights", scene.gltf.item("meshes", node["mesh"]).get("weights", ()))
        look = _Look(node["mesh"], node.get("skin"), tuple(map(float, weights)))
        instances = node.get("extensions", {}).get(INSTANCING)
        yield look, world[None] if instances is None else world @ _instances(scene.gltf, instances["attributes"])


def _instances(gltf: Gltf, attributes: dict[str, int]) -> Float[np.ndarray, "instances 4 4"]:
    """Where a node's copies stand in its own coordinates."""
    still = {"TRANSLATION": (0, 0, 0), "ROTATION": (0, 0, 0, 1), "SCALE": (1, 1, 1)}
    given = {name: gltf.array(attributes[name], width=len(at)) for name, at in still.items() if name in attributes}
    (count,) = {len(values) for values in given.values()}
    full = [np.asarray(given.get(name, np.tile(at, (count, 1))), np.float64) for name, at in still.items()]
    return _composed(*full)


def _read_primitive(
    scene: _Scene, look: _Look, number: int, matrices: Float[np.ndarray, "places 4 4"], n_left: int
) -> Mesh | None:
    """A primitive's triangles at each place, turned over where it mirrors; None for points, lines, and nothing."""
    gltf = scene.gltf
    primitive = gltf.item("meshes", look.mesh)["primitives"][number]
    positions = gltf.numbers(primitive, "POSITION", 3)
    faces = None if positions is None else triangles(gltf, primitive, len(positions))
    if positions is None or faces is None:
        return None
    n_places, n_faces = len(matrices), len(faces)
    if n_places * max(len(positions), n_faces) > n_left:
        size = f"{max(len(positions), n_faces):,} vertices or faces {n_places:,} times"
        raise unreadable(gltf.path, f"it places {size}; at most {MOST_PLACED:,} are read, so simplify the scene")
    points = _morphed(gltf, primitive, positions.astype(np.float64), look.weights)
    if look.skin is not None and "JOINTS_0" in primitive["attributes"]:
        blended = _blended(scene, primitive, gltf.item("skins", look.skin))
        points = np.einsum("vij,vj->vi", blended[:, :, :3], points) + blended[:, :, 3]
        vertices = np.tile(points, (n_places, 1, 1))
        mirrored = np.tile(np.linalg.det(blended[:, :, :3])[faces[:, 0]] < 0, (n_places, 1))
    else:
        # (places, vertices, 3); a product with 1 would turn -0.0 into 0.0, so what stays is not multiplied.
        vertices = points @ matrices[:, :3, :3].transpose(0, 2, 1) + matrices[:, None, :3, 3]
        vertices[(matrices == np.eye(4)).all(axis=(1, 2))] = points
        mirrored = np.repeat(np.linalg.det(matrices[:, :3, :3])[:, None] < 0, n_faces, axis=1)
    corner = np.where(mirrored[:, :, None], faces[:, ::-1], faces)  # (places, faces, 3)
    uv, fault = base_colour_uv(gltf, primitive, len(points))
    source = SourceFile(
        gltf.path,
        gltf.path.suffix.lower().removeprefix("."),
        polygon=np.arange(n_places * n_faces),
        part=np.arange(n_places).repeat(n_faces),
        materials=(primitive.get("material"),) * n_places,
        without_uv=fault or NO_UV,
        document=gltf,
        primitives=((look.mesh, number),) * n_places,
        corner=corner.reshape(-1, 3),
        names=scene.names,
    )
    placed = (corner + np.arange(n_places)[:, None, None] * len(points)).reshape(-1, 3)
    uv = None if uv is None else np.tile(uv, (n_places, 1))
    return Mesh(vertices.reshape(-1, 3), placed, uv=uv, v_down=True, source=source)


def _morphed(
    gltf: Gltf, primitive: dict[str, Any], positions: Float[np.ndarray, "vertices 3"], weights: tuple[float, ...]
) -> Float[np.ndarray, "vertices 3"]:
    """Positions with the morph targets' shifts added by their weights (section 3.7.2.2)."""
    for weight, target in zip(weights, primitive.get("targets", []), strict=False):
        if weight and "POSITION" in target:
            positions = positions + weight * gltf.array(target["POSITION"], width=3)
    return positions


def _blended(scene: _Scene, primitive: dict[str, Any], skin: dict[str, Any]) -> Float[np.ndarray, "vertices 3 4"]:
    """From each vertex's coordinates to the world's: its joints' matrices, mixed by its weights (section 3.7.3.1).

    The transforms of the node that has the skin play no part. Weights count by their share of the vertex's sum; where
    that is 0, the first joint has it all.
    """
    gltf, place = scene.gltf, {index: i for i, index in enumerate(scene.order)}
    joints = scene.world[[place[index] for index in skin["joints"]]]
    if "inverseBindMatrices" in skin:
        inverse = gltf.array(skin["inverseBindMatrices"], "f", 16)[: len(joints)].astype(np.float64)
        joints = joints @ inverse.reshape(-1, 4, 4).transpose(0, 2, 1)
    sets = [int(name[7:]) for name in primitive["attributes"] if name.startswith("JOINTS_")]
    numbers = [(_needed(gltf, primitive, f"JOINTS_{i}", "u"), _needed(gltf, primitive, f"WEIGHTS_{i}")) for i in sets]
    joint = np.concatenate([joint for joint, _ in numbers], axis=1).astype(np.int64)
    weight = np.concatenate([weight for _, weight in numbers], axis=1).astype(np.float64)
    total = weight.sum(axis=1, keepdims=True)
    weight = np.where(total > 0, weight / np.where(total > 0, total, 1.0), np.eye(1, weight.shape[1]))
    blended = np.zeros((len(joint), 3, 4))
    for number, share in zip(joint.T, weight.T, strict=True):
        used = share > 0
        blended[used] += share[used, None, None] * joints[number[used], :3]
    return blended


def _needed(gltf: Gltf, primitive: dict[str, Any], name: str, kinds: str = "iuf") -> NDArray[Any]:
    found = gltf.numbers(primitive, name, 4, kinds)
    if found is None:
        raise KeyError(name)
    return found

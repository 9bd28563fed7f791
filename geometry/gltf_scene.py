"""The triangles of a glTF file's scene in world coordinates: placed by its nodes, morphed, posed by skins.

Texture coordinates are those of each material's base colour, bit for bit where nothing transforms them. Animations do
not run: what is read is the pose that the nodes give.

Source: Khronos, glTF 2.0 specification, sections 3.7.2 (meshes, morph targets) and 3.7.3 (skins).
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray

from geometry.gltf_container import parsed
from geometry.gltf_file import BROKEN, Gltf
from geometry.gltf_material import base_colour_uv
from geometry.gltf_nodes import INSTANCING, Scene, instances, placed_nodes
from geometry.mesh import Mesh
from geometry.source_file import NO_UV, SourceFile, out_of_range, unreadable

log = logging.getLogger(__name__)

_TRIANGLES, _STRIP, _FAN = 4, 5, 6
#: Vertices, and faces, of a scene at most.
MOST_PLACED = 2**23


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
        scene = placed_nodes(gltf)
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
        raise unreadable(path, f"its parts do not fit together ({type(error).__name__}: {error})") from error


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
        if len(corners) % 3:
            raise ValueError(f"{len(corners):,} corners are no whole number of triangles")
        return corners.reshape(-1, 3)
    first = np.arange(max(0, len(corners) - 2))
    if mode == _FAN:
        return corners[np.stack([first + 1, first + 2, np.zeros_like(first)], axis=-1)]
    odd = first % 2
    return corners[np.stack([first, first + 1 + odd, first + 2 - odd], axis=-1)]


def _looks(scene: Scene) -> Iterator[tuple[_Look, Float[np.ndarray, "places 4 4"]]]:
    """What the scene shows, node after node, and where."""
    for index, world in zip(scene.order[: scene.n_shown], scene.world, strict=False):
        node = scene.nodes[index]
        if "mesh" not in node:
            continue
        weights = node.get("weights", scene.gltf.item("meshes", node["mesh"]).get("weights", ()))
        look = _Look(node["mesh"], node.get("skin"), tuple(map(float, weights)))
        copies = node.get("extensions", {}).get(INSTANCING)
        yield look, world[None] if copies is None else world @ instances(scene.gltf, copies["attributes"])


def _read_primitive(
    scene: Scene, look: _Look, number: int, matrices: Float[np.ndarray, "places 4 4"], n_left: int
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
        raise unreadable(gltf.path, f"it places {size}; {MOST_PLACED:,} are read in all, so simplify the scene")
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


def _blended(scene: Scene, primitive: dict[str, Any], skin: dict[str, Any]) -> Float[np.ndarray, "vertices 3 4"]:
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

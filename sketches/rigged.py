"""Builds robot.glb, a character with a skeleton, to try painting on: python -m sketches.rigged

A robot like the toy world's, without texture coordinates: nine bones, arms that bend, eyes that blink (a morph target),
and two animations, `walk` and `wave`. +y is up, the front looks along +z.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from jaxtyping import Float, Int

from core.files import write_whole
from exporters.glb import ARRAY, INDICES, Binary
from geometry.gltf_container import container
from toybox.solids import Vector, box

FOLDER = Path(__file__).parent
#: Bones by name: their parents, and where they begin.
BONES: dict[str, tuple[str | None, Vector]] = {
    "hips": (None, [0, -0.34, 0]),
    "chest": ("hips", [0, -0.3, 0]),
    "head": ("chest", [0, 0.4, 0]),
    **{f"arm {side}": ("chest", [x, 0.2, 0]) for side, x in (("left", 0.48), ("right", -0.48))},
    **{f"forearm {side}": (f"arm {side}", [x, -0.1, 0]) for side, x in (("left", 0.48), ("right", -0.48))},
    **{f"leg {side}": ("hips", [x, -0.36, 0]) for side, x in (("left", 0.19), ("right", -0.19))},
}
NAMES = list(BONES)
#: How far above and below the elbow both bones move the arm.
ELBOW = 0.08


@dataclass(frozen=True)
class Limb:
    """A closed solid and the bones that move it."""

    mesh: trimesh.Trimesh
    bones: tuple[str, str]
    share: Float[np.ndarray, "vertices"]
    """Of the second bone in moving each vertex; the first has the rest."""


def limbs() -> list[Limb]:
    """The robot, limb by limb; the first two are its eyes."""
    found = [_stiff(_ball([x, 0.62, 0.22], 0.075), "head") for x in (0.11, -0.11)]
    found += [
        _stiff(box([0, 0, 0], [0.72, 0.72, 0.48]), "chest"),
        _stiff(box([0, 0.06, 0.25], [0.4, 0.3, 0.05]), "chest"),
    ]
    found += [_stiff(box([0, 0.58, 0.02], [0.46, 0.36, 0.4]), "head"), _stiff(_ball([0, 0.97, 0], 0.075), "head")]
    found += [_stiff(_tube([0, 0.95, 0], [0, 0.74, 0], 0.035, 2), "head")]
    for side, x in (("left", 1), ("right", -1)):
        arm = _tube([x * 0.48, 0.24, 0], [x * 0.48, -0.42, 0], 0.1, 12)
        share = ((-0.1 + ELBOW - arm.vertices[:, 1]) / (2 * ELBOW)).clip(0, 1)
        found.append(Limb(arm, (f"arm {side}", f"forearm {side}"), share))
        found.append(_stiff(box([x * 0.19, -0.54, 0], [0.22, 0.4, 0.24]), f"leg {side}"))
        found.append(_stiff(box([x * 0.19, -0.76, 0.08], [0.26, 0.12, 0.42]), f"leg {side}"))
    return found


def robot_glb() -> bytes:
    """The character as the content of a GLB file."""
    binary, parts = Binary(), limbs()
    points = np.concatenate([limb.mesh.vertices for limb in parts]).astype("<f4")
    normals = np.concatenate([limb.mesh.vertex_normals for limb in parts]).astype("<f4")
    starts = np.cumsum([0, *(len(limb.mesh.vertices) for limb in parts)])
    faces = np.concatenate([limb.mesh.faces + start for limb, start in zip(parts, starts, strict=False)])
    joints, weights = (
        np.concatenate(each).astype(kind) for each, kind in zip(_skin(parts), ("u1", "<f4"), strict=True)
    )
    blink = np.zeros_like(points)
    for limb, start in zip(parts[:2], starts, strict=False):
        heights = limb.mesh.vertices[:, 1]
        blink[start : start + len(heights), 1] = 0.85 * (heights.mean() - heights)
    attributes = {
        "POSITION": _positions(binary, points),
        "NORMAL": binary.add(normals, "VEC3", ARRAY),
        "JOINTS_0": binary.add(joints, "VEC4", ARRAY),
        "WEIGHTS_0": binary.add(weights, "VEC4", ARRAY),
    }
    primitive = {"attributes": attributes, "material": 0, "targets": [{"POSITION": _positions(binary, blink)}]}
    primitive["indices"] = binary.add(faces.astype("<u2").reshape(-1), "SCALAR", INDICES)
    tree: dict[str, Any] = {
        "asset": {"version": "2.0", "generator": "sketches/rigged.py"},
        **{
            "scene": 0,
            "scenes": [{"nodes": [0, len(NAMES)]}],
            "nodes": [*_nodes(), {"name": "Robot", "mesh": 0, "skin": 0}],
        },
        "meshes": [
            {"name": "Robot", "primitives": [primitive], "weights": [0.0], "extras": {"targetNames": ["blink"]}}
        ],
        "materials": [{"name": "Paint", "pbrMetallicRoughness": {"metallicFactor": 0.1, "roughnessFactor": 0.6}}],
        "skins": [{"name": "Skeleton", "joints": list(range(len(NAMES))), "inverseBindMatrices": _inverse(binary)}],
        "animations": [_walk(binary), _wave(binary)],
    }
    tree |= {"accessors": binary.accessors, "bufferViews": binary.views, "buffers": [{"byteLength": len(binary.data)}]}
    return container(tree, [(b"BIN\0", bytes(binary.data))])


def _stiff(mesh: trimesh.Trimesh, bone: str) -> Limb:
    """A limb that one bone moves; those of flat faces keep their edges sharp."""
    if len(mesh.faces) == 12:
        mesh.unmerge_vertices()
    return Limb(mesh, (bone, bone), np.zeros(len(mesh.vertices)))


def _ball(centre: Vector, radius: float) -> trimesh.Trimesh:
    ball = trimesh.creation.icosphere(subdivisions=1, radius=radius)
    ball.apply_translation(centre)
    return ball


def _tube(start: Vector, end: Vector, radius: float, n_rings: int, n_sides: int = 8) -> trimesh.Trimesh:
    """A closed tube from top to bottom whose vertices lie in rings, so that it can bend; its ends are pointed."""
    turns = 2 * np.pi * np.arange(n_sides) / n_sides
    ring = np.stack([np.cos(turns), 0 * turns, np.sin(turns)], axis=-1) * radius
    along = np.linspace(start, end, n_rings)
    tips = np.stack([np.add(start, [0, 0.5 * radius, 0]), np.subtract(end, [0, 0.5 * radius, 0])])
    points = np.concatenate([(along[:, None] + ring).reshape(-1, 3), tips])
    faces: list[list[int]] = []
    for side in range(n_sides):
        after = (side + 1) % n_sides
        for a, b in ((first + side, first + after) for first in range(0, (n_rings - 1) * n_sides, n_sides)):
            faces += [[a, b, a + n_sides], [b, b + n_sides, a + n_sides]]
        last, top = (n_rings - 1) * n_sides, n_rings * n_sides
        faces += [[top, after, side], [top + 1, last + side, last + after]]
    return trimesh.Trimesh(points, faces, process=False)


def _skin(parts: list[Limb]) -> tuple[list[Int[np.ndarray, "vertices 4"]], list[Float[np.ndarray, "vertices 4"]]]:
    """Numbers and shares of the bones that move each vertex, limb by limb; a bone without a share is 0."""
    joints, weights = [], []
    for limb in parts:
        none = np.zeros_like(limb.share)
        share = np.stack([1 - limb.share, limb.share, none, none], axis=-1)
        number = np.array([*(NAMES.index(bone) for bone in limb.bones), 0, 0])
        joints.append(np.where(share > 0, number, 0))
        weights.append(share)
    return joints, weights


def _nodes() -> list[dict[str, Any]]:
    found = []
    for name, (parent, place) in BONES.items():
        above = BONES[parent][1] if parent else [0, 0, 0]
        node = {"name": name, "translation": [round(a - b, 6) for a, b in zip(place, above, strict=True)]}
        children = [NAMES.index(child) for child, (of, _) in BONES.items() if of == name]
        found.append({**node, **({"children": children} if children else {})})
    return found


def _inverse(binary: Binary) -> int:
    matrices = np.tile(np.eye(4), (len(NAMES), 1, 1))
    matrices[:, 3, :3] = [[-x for x in place] for _, place in BONES.values()]  # column after column
    return binary.add(matrices.astype("<f4").reshape(-1, 16), "MAT4", None)


def _walk(binary: Binary) -> dict[str, Any]:
    swing = {"leg left": 30, "leg right": -30, "arm left": -35, "arm right": 35}
    times = [0.0, 0.3, 0.6, 0.9, 1.2]
    turns = {name: (0, [share * most for share in (0, 1, 0, -1, 0)]) for name, most in swing.items()}
    turns |= {f"forearm {side}": (0, [-25.0] * 5) for side in ("left", "right")}
    return _animation(binary, "walk", times, turns)


def _wave(binary: Binary) -> dict[str, Any]:
    turns = {"arm right": (2, [0, -140, -140, -140, -140, 0]), "head": (2, [0, -8, -8, -8, -8, 0])}
    turns["forearm right"] = (2, [0, -40, 10, -40, 10, 0])
    made = _animation(binary, "wave", [0.0, 0.5, 0.8, 1.1, 1.4, 2.0], turns)
    lids = binary.add(np.array([0, 0, 1, 0, 0, 0], "<f4"), "SCALAR", None)
    made["samplers"].append({"input": made["samplers"][0]["input"], "output": lids})
    target = {"node": len(NAMES), "path": "weights"}
    made["channels"].append({"sampler": len(made["samplers"]) - 1, "target": target})
    return made


def _animation(
    binary: Binary, name: str, times: list[float], turns: Mapping[str, tuple[int, Sequence[float]]]
) -> dict[str, Any]:
    """Bones that turn about one axis, by degrees at some times."""
    start = binary.add(np.array(times, "<f4"), "SCALAR", None, min=[times[0]], max=[float(np.float32(times[-1]))])
    channels, samplers = [], []
    for bone, (axis, degrees) in turns.items():
        half = np.radians(degrees) / 2
        quaternions = np.zeros((len(half), 4), "<f4")
        quaternions[:, axis], quaternions[:, 3] = np.sin(half), np.cos(half)
        samplers.append({"input": start, "output": binary.add(quaternions, "VEC4", None)})
        channels.append({"sampler": len(samplers) - 1, "target": {"node": NAMES.index(bone), "path": "rotation"}})
    return {"name": name, "channels": channels, "samplers": samplers}


def _positions(binary: Binary, points: Float[np.ndarray, "vertices 3"]) -> int:
    bounds = {"min": points.min(axis=0).tolist(), "max": points.max(axis=0).tolist()}
    return binary.add(points, "VEC3", ARRAY, **bounds)


def main() -> int:
    """Write the file."""
    content = robot_glb()
    write_whole(FOLDER / "robot.glb", content)
    print(f"robot.glb: {len(content):,} bytes, {len(NAMES)} bones")
    return 0


if __name__ == "__main__":
    sys.exit(main())

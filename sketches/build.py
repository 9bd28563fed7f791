"""Builds the sketch meshes from solids, and their pictures: python -m sketches.build

+y is up, the front looks along +z. What is whole is built in a size of its own and placed by the recipe's `scale`. The
partial ones are cut from the toy world's objects and keep their place, so that recipes use `center: none, scale: none`.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import trimesh
from PIL import Image

from core.files import whole_file, write_whole
from toybox.buffers import EMPTY, Caster, View
from toybox.scenes import Part, Scene, build
from toybox.solids import Vector, box, cone, cylinder, sheet

FOLDER = Path(__file__).parent
PICTURE_SIZE = 192
SUPERSAMPLING = 3
LIGHT = np.array([0.35, 0.8, 0.5]) / np.linalg.norm([0.35, 0.8, 0.5])


def figure() -> list[trimesh.Trimesh]:
    """A person with head and limbs, arms held out."""
    return [
        _capsule([0, 0.74, 0], [0, 0.74, 0], 0.25),
        cylinder([0, 0.4, 0], 0.17, 0.4),
        box([0, 0.16, 0], [0.6, 0.66, 0.4]),
        *[_capsule([side * 0.26, 0.36, 0], [side * 0.68, 0.1, 0], 0.16) for side in (-1, 1)],
        *[_capsule([side * 0.17, -0.1, 0], [side * 0.22, -0.78, 0], 0.17) for side in (-1, 1)],
    ]


def animal() -> list[trimesh.Trimesh]:
    """Four legs, a body, a head and a tail, all boxes."""
    return [
        box([0, 0.1, -0.05], [0.52, 0.46, 1.1]),
        box([0, 0.42, 0.58], [0.46, 0.46, 0.46]),
        box([0, 0.36, 0.8], [0.34, 0.34, 0.36]),
        box([0, 0.36, -0.68], [0.34, 0.34, 0.36]),
        *[box([x, -0.34, z], [0.34, 0.56, 0.34]) for x in (-0.18, 0.18) for z in (-0.43, 0.33)],
    ]


def chair() -> list[trimesh.Trimesh]:
    """Seat, back and four legs, all thick slabs."""
    return [
        box([0, 0, 0], [0.96, 0.32, 0.96]),
        box([0, 0.48, -0.32], [0.96, 0.7, 0.32]),
        *[box([x, -0.4, z], [0.32, 0.6, 0.32]) for x in (-0.32, 0.32) for z in (-0.32, 0.32)],
    ]


def hand() -> list[trimesh.Trimesh]:
    """A flat hand: a palm, four fingers and a thumb of capsules."""
    fingers = [([-0.3, 0.1], [-0.42, 0.66]), ([-0.11, 0.14], [-0.15, 0.86]), ([0.09, 0.14], [0.13, 0.82])]
    fingers += [([0.28, 0.1], [0.4, 0.58]), ([0.3, -0.24], [0.74, 0.12])]
    return [
        *[_capsule([*start, 0], [*end, 0], 0.11) for start, end in fingers],
        box([0, -0.2, 0], [0.74, 0.7, 0.24]),
        cylinder([0, -0.7, 0], 0.22, 0.44),
    ]


def tower() -> list[trimesh.Trimesh]:
    """A round tower with a wide foot, a parapet and a pointed roof."""
    return [
        cone([0, -0.95, 0], [0, -0.55, 0], 0.5, 0.34),
        cylinder([0, -0.15, 0], 0.34, 0.9),
        cylinder([0, 0.36, 0], 0.46, 0.24),
        cone([0, 0.46, 0], [0, 0.98, 0], 0.4, 0.03),
    ]


def half_mug() -> list[trimesh.Trimesh]:
    """The half of a mug that has the handle; the other is missing."""
    return _kept(joined([part.mesh for part in build("mug").parts]), [0.396, 0, 0])


def car_without_front() -> list[trimesh.Trimesh]:
    """A car that ends in front of its cabin."""
    return _kept(joined([part.mesh for part in build("car").parts]), [0, 0, -0.4])


def house_without_roof() -> list[trimesh.Trimesh]:
    """Walls, door and windows of a house, nothing above."""
    return [part.mesh for part in build("house").parts if part.name in ("walls", "door", "window")]


SKETCHES: dict[str, Callable[[], list[trimesh.Trimesh]]] = {
    "figure": figure,
    "animal": animal,
    "chair": chair,
    "hand": hand,
    "tower": tower,
    "half-mug": half_mug,
    "car-without-front": car_without_front,
    "house-without-roof": house_without_roof,
}


def sketch(name: str) -> trimesh.Trimesh:
    """One closed mesh of the solids' union."""
    return joined(SKETCHES[name]())


def _capsule(start: Vector, end: Vector, radius: float) -> trimesh.Trimesh:
    """The convex hull of two balls."""
    around = radius * trimesh.creation.icosphere(subdivisions=2).vertices
    return sheet(np.concatenate([around + start, around + end]).tolist())


def joined(solids: list[trimesh.Trimesh]) -> trimesh.Trimesh:
    """The union of closed solids, as one closed mesh."""
    whole = trimesh.boolean.union(solids, engine="manifold")
    assert isinstance(whole, trimesh.Trimesh)
    return whole


def _kept(mesh: trimesh.Trimesh, centre: list[float]) -> list[trimesh.Trimesh]:
    """What of a mesh lies in the cube of side 1 around a point."""
    return [trimesh.boolean.intersection([mesh, box(centre, [1, 1, 1])], engine="manifold")]


def obj_text(mesh: trimesh.Trimesh) -> str:
    """The mesh as OBJ, coordinates to a hundred-thousandth."""
    vertices = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in mesh.vertices + 0.0]
    faces = [f"f {a} {b} {c}" for a, b, c in mesh.faces + 1]
    return "\n".join([*vertices, *faces]) + "\n"


def picture(mesh: trimesh.Trimesh) -> Image.Image:
    """The mesh in grey before white, from above its front."""
    shown = mesh.copy()
    shown.apply_translation(-shown.bounds.mean(axis=0))
    shown.apply_scale(0.5 / np.linalg.norm(shown.vertices, axis=1).max())
    shown.unmerge_vertices()  # a union's faces are long and thin: normals shared by them would smear
    caster = Caster(Scene("sketch", (Part("sketch", shown, "main"),)))
    parts, normals = caster.cast(View(22.0, 35.0, 1.6, 40.0), PICTURE_SIZE * SUPERSAMPLING)
    shade = 0.45 + 0.45 * (normals / 127.0 @ LIGHT).clip(0)
    grey = np.where(parts == EMPTY, 1.0, shade)
    small = grey.reshape(PICTURE_SIZE, SUPERSAMPLING, PICTURE_SIZE, SUPERSAMPLING).mean(axis=(1, 3))
    return Image.fromarray((small * 255).round().astype(np.uint8))


def main() -> int:
    """Write all meshes and pictures."""
    for name in SKETCHES:
        mesh = sketch(name)
        write_whole(FOLDER / f"{name}.obj", obj_text(mesh))
        with whole_file(FOLDER / f"{name}.png") as unfinished:
            picture(mesh).save(unfinished, optimize=True)
        print(f"{name}: {len(mesh.faces)} faces, {mesh.volume:.3f} in volume")
    return 0


if __name__ == "__main__":
    sys.exit(main())

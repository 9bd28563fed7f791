"""The toy world's objects: canonical meshes of named, coloured parts.

Axes: +y up, front +z, +x to the right of somebody who looks along -z (so to the viewer's right in the front view).
`build(kind)` normalises each object into a ball of radius `object_radius` around the origin: its bounding box is
centred, its farthest vertex lies on the ball. These meshes are the ground truth of every 3D measurement.

A part's `paint` is "main", "second:<default>" (named by the caption, else the default: "main" or a fixed colour) or a
fixed colour's name from FIXED.
"""

import functools
from dataclasses import dataclass

import numpy as np
import trimesh

from toybox.objects_home import BUILDERS as HOME
from toybox.objects_living import BUILDERS as LIVING
from toybox.objects_machines import BUILDERS as MACHINES
from toybox.world import load_world

BUILDERS = {**HOME, **LIVING, **MACHINES}

FIXED = {
    "cream": (0.93, 0.87, 0.74),
    "wood": (0.58, 0.38, 0.2),
    "bark": (0.38, 0.24, 0.13),
    "glass": (0.62, 0.83, 0.94),
    "steel": (0.6, 0.62, 0.66),
    "rubber": (0.13, 0.13, 0.14),
    "coal": (0.07, 0.07, 0.08),
    "snow": (0.97, 0.97, 0.97),
    "carrot": (0.98, 0.5, 0.08),
    "lamplight": (0.99, 0.9, 0.4),
    "leaf": (0.2, 0.58, 0.22),
    "clay": (0.72, 0.36, 0.22),
    "dough": (0.84, 0.62, 0.36),
    "ember": (0.86, 0.12, 0.1),
}


@dataclass(frozen=True)
class Part:
    """A closed solid of an object and how it is painted."""

    name: str
    mesh: trimesh.Trimesh
    paint: str


@dataclass(frozen=True)
class Scene:
    """One canonical object.

    Attributes:
        kind: its word in captions.
        parts: closed solids; they may overlap.
    """

    kind: str
    parts: tuple[Part, ...]

    @property
    def mesh(self) -> trimesh.Trimesh:
        """All parts in one mesh, faces in the order of the parts."""
        whole = trimesh.util.concatenate([part.mesh for part in self.parts])
        assert isinstance(whole, trimesh.Trimesh)
        return whole

    @property
    def face_part(self) -> np.ndarray:
        """Index of the part that each face of `mesh` belongs to, shape [faces], uint8."""
        return np.repeat(np.arange(len(self.parts), dtype=np.uint8), [len(part.mesh.faces) for part in self.parts])

    def part_colours(self, main: str, second: str | None) -> np.ndarray:
        """RGB of each part, shape [parts, 3] in 0..1, for an object of these named colours."""
        colours = load_world().colours

        def paint(rule: str) -> tuple[float, ...]:
            if rule.startswith("second:"):
                return colours[second] if second else paint(rule.removeprefix("second:"))
            return colours[main] if rule == "main" else FIXED[rule]

        return np.array([paint(part.paint) for part in self.parts], dtype=np.float32)


@functools.cache
def build(kind: str) -> Scene:
    """The canonical object of this kind, inside the world's ball.

    Raises:
        KeyError: an unknown kind.
    """
    parts = [Part(*part) for part in BUILDERS[kind]()]
    points = np.concatenate([part.mesh.vertices for part in parts])
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    scale = load_world().object_radius / np.linalg.norm(points - centre, axis=1).max()
    for part in parts:
        part.mesh.apply_translation(-centre)
        part.mesh.apply_scale(scale)
    return Scene(kind, tuple(parts))

"""Toy objects of the house: name, closed solid and paint of each part, in any size and place (see scenes.py)."""

from collections.abc import Callable

import numpy as np
import trimesh

from toybox.solids import Parts, ball, box, cone, cup, cylinder, dome, prism, ring, rod


def _bed() -> Parts:
    return [
        ("frame", box([0, -0.28, 0], [1.1, 0.16, 1.7]), "second:wood"),
        ("headboard", box([0, 0.08, -0.83], [1.1, 0.8, 0.1]), "second:wood"),
        ("blanket", box([0, -0.08, 0.12], [1.08, 0.26, 1.44]), "main"),
        ("pillow", ball([0, 0.08, -0.62], [0.4, 0.13, 0.2]), "snow"),
        *[("leg", box([x, -0.43, z], [0.12, 0.18, 0.12]), "second:wood") for x in (-0.47, 0.47) for z in (-0.76, 0.76)],
    ]


def _chair() -> Parts:
    return [
        ("seat", box([0, 0, 0], [0.86, 0.13, 0.86]), "second:main"),
        ("back", box([0, 0.6, -0.37], [0.86, 0.5, 0.11]), "main"),
        *[("post", box([x, 0.25, -0.37], [0.12, 0.5, 0.11]), "main") for x in (-0.36, 0.36)],
        *[("leg", box([x, -0.42, z], [0.13, 0.75, 0.13]), "main") for x in (-0.36, 0.36) for z in (-0.36, 0.36)],
    ]


def _house() -> Parts:
    roof = prism([(-0.66, 0.2), (0.66, 0.2), (0, 0.72)], 1.3)
    roof.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [0, 1, 0]))
    return [
        ("walls", box([0, -0.2, 0], [1.1, 0.84, 0.96]), "main"),
        ("roof", roof, "second:clay"),
        ("door", box([0, -0.36, 0.49], [0.26, 0.5, 0.06]), "bark"),
        *[("window", box([x, -0.12, 0.49], [0.22, 0.24, 0.05]), "glass") for x in (-0.36, 0.36)],
        ("chimney", box([0.34, 0.58, -0.26], [0.18, 0.44, 0.18]), "steel"),
    ]


def _lamp() -> Parts:
    return [
        ("shade", cone([0, 0.25, 0], [0, 0.85, 0], 0.5, 0.27), "main"),
        ("pole", rod([0, -0.85, 0], [0, 0.3, 0], 0.065), "second:steel"),
        ("base", cylinder([0, -0.88, 0], 0.38, 0.12), "second:steel"),
    ]


def _mug() -> Parts:
    handle = ring([0.48, 0, 0], 0.3, 0.085)
    handle.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 2, [1, 0, 0], [0.48, 0, 0]))
    return [("cup", cup(0.5, 1.1, 0.09), "main"), ("handle", handle, "second:main")]


def _sofa() -> Parts:
    return [
        ("base", box([0, -0.26, 0], [1.7, 0.3, 0.8]), "main"),
        ("back", box([0, 0.16, -0.34], [1.7, 0.74, 0.22]), "main"),
        *[("arm", box([x, 0.0, 0.03], [0.22, 0.56, 0.86]), "main") for x in (-0.82, 0.82)],
        *[("cushion", box([x, -0.04, 0.1], [0.66, 0.18, 0.66]), "second:main") for x in (-0.35, 0.35)],
        *[("foot", box([x, -0.46, z], [0.12, 0.12, 0.12]), "bark") for x in (-0.74, 0.74) for z in (-0.32, 0.32)],
    ]


def _table() -> Parts:
    return [
        ("top", box([0, 0.36, 0], [1.5, 0.13, 0.95]), "main"),
        *[("leg", box([x, -0.13, z], [0.13, 0.88, 0.13]), "second:main") for x in (-0.64, 0.64) for z in (-0.37, 0.37)],
    ]


def _umbrella() -> Parts:
    hook = [([0, -0.72, 0], [0, -0.86, 0.06]), ([0, -0.86, 0.06], [0, -0.88, 0.2]), ([0, -0.88, 0.2], [0, -0.74, 0.26])]
    return [
        ("canopy", dome([0, 0.25, 0], 0.85, 0.5, hollow=0.06), "main"),
        ("tip", rod([0, 0.7, 0], [0, 0.9, 0], 0.045), "steel"),
        ("shaft", rod([0, -0.5, 0], [0, 0.72, 0], 0.045), "steel"),
        ("grip", rod([0, -0.76, 0], [0, -0.45, 0], 0.065, round_ends=True), "second:bark"),
        *[("hook", rod(a, b, 0.065, round_ends=True), "second:bark") for a, b in hook],
    ]


BUILDERS: dict[str, Callable[[], Parts]] = {
    "bed": _bed,
    "chair": _chair,
    "house": _house,
    "lamp": _lamp,
    "mug": _mug,
    "sofa": _sofa,
    "table": _table,
    "umbrella": _umbrella,
}

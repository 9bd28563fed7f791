"""Toy plants, animals and things to eat: name, solid and paint of each part, in any size and place (see scenes.py)."""

from collections.abc import Callable

import numpy as np

from toybox.solids import Parts, ball, cone, cylinder, dome, ring, rod, sheet


def _cactus() -> Parts:
    return [
        ("trunk", rod([0, -0.3, 0], [0, 0.75, 0], 0.2, round_ends=True), "main"),
        ("left arm", rod([-0.48, 0.1, 0], [-0.1, 0.1, 0], 0.12, round_ends=True), "main"),
        ("left hand", rod([-0.48, 0.1, 0], [-0.48, 0.5, 0], 0.12, round_ends=True), "main"),
        ("right arm", rod([0.1, 0.28, 0], [0.46, 0.28, 0], 0.12, round_ends=True), "main"),
        ("right hand", rod([0.46, 0.28, 0], [0.46, 0.66, 0], 0.12, round_ends=True), "main"),
        ("pot", cone([0, -0.8, 0], [0, -0.28, 0], 0.3, 0.42), "second:clay"),
    ]


def _donut() -> Parts:
    icing = ring([0, 0.09, 0], 0.62, 0.29)
    return [("base", ring([0, -0.04, 0], 0.62, 0.3), "second:dough"), ("icing", icing, "main")]


def _duck() -> Parts:
    return [
        ("body", ball([0, -0.2, -0.08], [0.46, 0.36, 0.62]), "main"),
        ("tail", cone([0, -0.08, -0.55], [0, 0.22, -0.86], 0.2, 0.03), "main"),
        ("neck", rod([0, 0.0, 0.3], [0, 0.3, 0.34], 0.19), "main"),
        ("head", ball([0, 0.44, 0.36], [0.29, 0.28, 0.3]), "main"),
        ("beak", ball([0, 0.38, 0.72], [0.17, 0.07, 0.2]), "second:carrot"),
        *[("eye", ball([x, 0.54, 0.56], [0.065, 0.075, 0.065]), "coal") for x in (-0.16, 0.16)],
        *[("wing", ball([x, -0.16, -0.12], [0.11, 0.22, 0.38]), "main") for x in (-0.43, 0.43)],
    ]


def _fish() -> Parts:
    tail = sheet([[s, y, z] for s in (-0.05, 0.05) for y, z in ((0.0, -0.5), (0.42, -1.0), (-0.42, -1.0))])
    fin = sheet([[s, y, z] for s in (-0.05, 0.05) for y, z in ((0.3, 0.3), (0.62, -0.28), (0.26, -0.35))])
    return [
        ("body", ball([0, 0, 0.05], [0.27, 0.42, 0.72]), "main"),
        ("tail", tail, "second:main"),
        ("fin", fin, "second:main"),
        *[("eye", ball([x, 0.1, 0.46], [0.07, 0.1, 0.1]), "snow") for x in (-0.19, 0.19)],
        *[("pupil", ball([x, 0.1, 0.5], [0.05, 0.06, 0.06]), "coal") for x in (-0.235, 0.235)],
    ]


def _flower() -> Parts:
    angles = np.arange(6) * np.pi / 3
    petals = [("petal", ball([0.36 * np.cos(a), 0.5 + 0.36 * np.sin(a), 0], [0.23, 0.23, 0.1]), "main") for a in angles]
    return [
        *petals,
        ("centre", ball([0, 0.5, 0], [0.21, 0.21, 0.17]), "lamplight"),
        ("stem", rod([0, -0.95, 0], [0, 0.4, -0.02], 0.07), "second:leaf"),
        *[("leaf", ball([x, -0.5, 0], [0.24, 0.11, 0.08]), "second:leaf") for x in (-0.25, 0.25)],
    ]


def _mushroom() -> Parts:
    spots = [(0.0, 1.0), (0.9, 0.62), (2.2, 0.55), (3.5, 0.62), (4.9, 0.55)]
    return [
        ("cap", dome([0, 0.05, 0], 0.72, 0.62), "main"),
        ("stem", cone([0, -0.72, 0], [0, 0.1, 0], 0.3, 0.22), "second:cream"),
        *[
            (
                "spot",
                ball(
                    [
                        0.71 * np.sqrt(1 - up * up) * np.cos(a),
                        0.05 + 0.61 * up,
                        0.71 * np.sqrt(1 - up * up) * np.sin(a),
                    ],
                    0.13,
                ),
                "snow",
            )
            for a, up in spots
        ],
    ]


def _snowman() -> Parts:
    return [
        ("base", ball([0, -0.5, 0], 0.48), "main"),
        ("belly", ball([0, 0.08, 0], 0.34), "main"),
        ("head", ball([0, 0.5, 0], 0.25), "main"),
        ("brim", cylinder([0, 0.69, 0], 0.32, 0.06), "second:coal"),
        ("hat", cylinder([0, 0.84, 0], 0.2, 0.3), "second:coal"),
        ("nose", cone([0, 0.5, 0.2], [0, 0.48, 0.58], 0.08, 0.01), "carrot"),
        *[("eye", ball([x, 0.58, 0.2], 0.055), "coal") for x in (-0.1, 0.1)],
        *[("button", ball([0, y, z], 0.055), "coal") for y, z in ((0.18, 0.325), (0.02, 0.335))],
        *[("arm", rod([s * 0.26, 0.14, 0], [s * 0.72, 0.34, 0.1], 0.045), "bark") for s in (-1, 1)],
    ]


def _tree() -> Parts:
    return [
        ("trunk", cone([0, -0.95, 0], [0, -0.2, 0], 0.17, 0.13), "second:bark"),
        ("crown", ball([0, 0.28, 0], [0.58, 0.55, 0.58]), "main"),
        ("left bough", ball([-0.32, 0.06, 0.12], 0.34), "main"),
        ("right bough", ball([0.34, 0.12, -0.08], 0.34), "main"),
        ("top bough", ball([0.04, 0.62, 0.0], 0.32), "main"),
    ]


BUILDERS: dict[str, Callable[[], Parts]] = {
    "cactus": _cactus,
    "donut": _donut,
    "duck": _duck,
    "fish": _fish,
    "flower": _flower,
    "mushroom": _mushroom,
    "snowman": _snowman,
    "tree": _tree,
}

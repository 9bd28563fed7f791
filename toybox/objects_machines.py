"""Toy machines: name, closed solid and paint of each part, in any size and place (see scenes.py)."""

from collections.abc import Callable

import numpy as np
import trimesh

from toybox.solids import Parts, ball, box, cone, cylinder, prism, rod, sheet, wheel


def _airplane() -> Parts:
    return [
        ("body", rod([0, 0, -0.95], [0, 0, 0.75], 0.19), "main"),
        ("nose", ball([0, 0, 0.78], [0.19, 0.19, 0.26]), "main"),
        ("wings", box([0, -0.03, 0.1], [1.9, 0.07, 0.42]), "second:steel"),
        ("tailplane", box([0, 0.06, -0.88], [0.75, 0.06, 0.24]), "second:steel"),
        ("fin", box([0, 0.28, -0.9], [0.07, 0.44, 0.26]), "main"),
        ("cockpit", ball([0, 0.15, 0.5], [0.12, 0.12, 0.2]), "glass"),
    ]


def _boat() -> Parts:
    hull = prism([(-0.42, 0.0), (0.42, 0.0), (0.3, -0.34), (-0.3, -0.34)], 1.1)
    bow = sheet(
        [[-0.42, 0, 0.55], [0.42, 0, 0.55], [0.3, -0.34, 0.55], [-0.3, -0.34, 0.55], [0, 0, 1.15], [0, -0.3, 0.9]]
    )
    sail = sheet([[s, y, z] for s in (-0.035, 0.035) for y, z in ((0.14, 0.06), (1.1, 0.06), (0.14, -0.68))])
    return [
        ("hull", hull, "main"),
        ("bow", bow, "main"),
        ("mast", rod([0, -0.05, 0.1], [0, 1.15, 0.1], 0.045), "wood"),
        ("sail", sail, "second:snow"),
        (
            "jib",
            sheet([[s, y, z] for s in (-0.03, 0.03) for y, z in ((0.14, 0.16), (0.8, 0.16), (0.14, 0.8))]),
            "second:snow",
        ),
    ]


def _car() -> Parts:
    wheels = [("wheel", wheel([x, -0.28, z], 0.22, 0.16), "rubber") for x in (-0.42, 0.42) for z in (-0.55, 0.55)]
    cabin = prism([(-0.36, 0.1), (0.36, 0.1), (0.3, 0.42), (-0.3, 0.42)], 0.78)
    cabin.apply_translation([0, 0, -0.2])
    return [
        ("body", box([0, -0.08, 0], [0.9, 0.36, 1.8]), "main"),
        ("bonnet", box([0, 0.11, 0.62], [0.78, 0.08, 0.5]), "main"),
        ("cabin", cabin, "glass"),
        ("roof", box([0, 0.44, -0.2], [0.66, 0.09, 0.86]), "second:main"),
        *wheels,
        *[("headlight", ball([x, -0.03, 0.9], [0.1, 0.1, 0.05]), "lamplight") for x in (-0.3, 0.3)],
        *[("tail light", box([x, -0.03, -0.9], [0.16, 0.12, 0.04]), "ember") for x in (-0.32, 0.32)],
    ]


def _robot() -> Parts:
    return [
        ("body", box([0, 0, 0], [0.72, 0.72, 0.48]), "main"),
        ("panel", box([0, 0.06, 0.25], [0.4, 0.3, 0.05]), "glass"),
        ("head", box([0, 0.58, 0.02], [0.46, 0.36, 0.4]), "second:main"),
        *[("eye", ball([x, 0.62, 0.22], 0.075), "lamplight") for x in (-0.11, 0.11)],
        ("antenna", rod([0, 0.72, 0], [0, 0.95, 0], 0.04), "steel"),
        ("bulb", ball([0, 0.97, 0], 0.075), "ember"),
        *[("arm", rod([x, 0.16, 0], [x, -0.14, 0.34], 0.1, round_ends=True), "steel") for x in (-0.47, 0.47)],
        *[("leg", box([x, -0.54, 0], [0.22, 0.4, 0.24]), "steel") for x in (-0.19, 0.19)],
        *[("foot", box([x, -0.76, 0.08], [0.26, 0.12, 0.42]), "rubber") for x in (-0.19, 0.19)],
    ]


def _rocket() -> Parts:
    fins = []
    for turn in range(4):
        fin = sheet([[s, y, x] for s in (-0.05, 0.05) for y, x in ((-0.2, 0.2), (-0.8, 0.2), (-0.95, 0.66))])
        fin.apply_transform(trimesh.transformations.rotation_matrix(np.pi / 4 + turn * np.pi / 2, [0, 1, 0]))
        fins.append(("fin", fin, "second:ember"))
    return [
        ("body", cylinder([0, -0.1, 0], 0.3, 1.2), "main"),
        ("nose", cone([0, 0.5, 0], [0, 1.0, 0], 0.3, 0.01), "second:ember"),
        ("nozzle", cone([0, -0.9, 0], [0, -0.7, 0], 0.24, 0.16), "rubber"),
        ("window", ball([0, 0.2, 0.26], [0.15, 0.15, 0.08]), "glass"),
        *fins,
    ]


def _train() -> Parts:
    wheels = [("wheel", wheel([x, -0.4, z], 0.19, 0.12), "rubber") for x in (-0.3, 0.3) for z in (-0.55, -0.05, 0.45)]
    return [
        ("chassis", box([0, -0.27, 0], [0.66, 0.14, 1.6]), "rubber"),
        ("boiler", rod([0, 0.06, -0.2], [0, 0.06, 0.76], 0.3), "main"),
        ("face", rod([0, 0.06, 0.74], [0, 0.06, 0.8], 0.24), "steel"),
        ("cabin", box([0, 0.2, -0.5], [0.7, 0.84, 0.56]), "second:main"),
        ("cabin roof", box([0, 0.65, -0.5], [0.8, 0.08, 0.68]), "rubber"),
        *[("window", box([x, 0.38, -0.5], [0.05, 0.22, 0.28]), "glass") for x in (-0.35, 0.35)],
        ("chimney", cone([0, 0.3, 0.5], [0, 0.66, 0.5], 0.1, 0.16), "rubber"),
        ("dome", ball([0, 0.36, 0.1], 0.13), "lamplight"),
        ("buffer", box([0, -0.36, 0.86], [0.6, 0.16, 0.16]), "ember"),
        *wheels,
    ]


BUILDERS: dict[str, Callable[[], Parts]] = {
    "airplane": _airplane,
    "boat": _boat,
    "car": _car,
    "robot": _robot,
    "rocket": _rocket,
    "train": _train,
}

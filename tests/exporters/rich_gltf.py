"""A glTF file with nearly everything that one can hold: rigged, animated, morphed, of two scenes, with extensions."""

from typing import Any

import numpy as np

from tests.geometry.gltf_builder import GltfBuilder

#: A closed tube of two rings of four vertices along y, and its faces.
TUBE = np.array([[x, y, z] for y in (0, 1, 2) for x, z in ((1, 0), (0, 1), (-1, 0), (0, -1))], "<f4")
TUBE_FACES = np.array(
    [
        corner
        for ring in (0, 4)
        for i in range(4)
        for corner in (
            ring + i,
            ring + 4 + i,
            ring + (i + 1) % 4,
            ring + (i + 1) % 4,
            ring + 4 + i,
            ring + 4 + (i + 1) % 4,
        )
    ],
    "<u2",
)
#: Any colours; cut out along soft stripes.
LEAF = np.random.default_rng(1).integers(0, 256, (8, 8, 4), dtype=np.uint8)
LEAF[..., 3] = 127 + 127 * np.sin(np.arange(8) * np.pi / 4)


def body(builder: GltfBuilder) -> dict[str, Any]:
    """A skinned, morphed tube with two sets of texture coordinates, and lines of the same material."""
    n = len(TUBE)
    rng = np.random.default_rng(0)
    upper = np.repeat([0, 128, 255], 4)
    weights = np.stack([255 - upper, upper, 0 * upper, 0 * upper], axis=-1).astype("u1")
    uv = (TUBE[:, [0, 1]] / 2.5 + [0.45, 0.05]).astype("<f4")
    attributes = {
        "POSITION": builder.position(TUBE),
        "NORMAL": builder.add((TUBE * [1, 0, 1]).astype("<f4")),
        "TEXCOORD_0": builder.add(uv),
        "TEXCOORD_1": builder.add(rng.integers(0, 65536, (n, 2)).astype("<u2"), normalized=True),
        "COLOR_0": builder.add(rng.integers(200, 256, (n, 3)).astype("u1"), normalized=True),
        "JOINTS_0": builder.add(np.tile(np.array([[0, 1, 0, 0]], "u1"), (n, 1))),
        "WEIGHTS_0": builder.add(weights, normalized=True),
        "_MARK": builder.add(np.arange(n, dtype="<f4")),
    }
    shift = np.zeros((n, 3), "<f4")
    shift[8:, 1] = 0.5
    bounds = {"min": [0, 0, 0], "max": [0.25, 0, 0]}
    pinch = builder.sparse(n, [4, 5], np.array([[0.25, 0, 0], [0.125, 0, 0]], "<f4"), **bounds)
    targets = [{"POSITION": builder.position(shift)}, {"POSITION": pinch, "NORMAL": builder.add(shift)}]
    tube = {"attributes": attributes, "indices": builder.add(TUBE_FACES), "material": 0, "targets": targets}
    lines = {"attributes": {"POSITION": attributes["POSITION"]}, "mode": 1, "material": 0, "targets": [targets[0]] * 2}
    tube["extensions"] = {"KHR_materials_variants": {"mappings": [{"material": 1, "variants": [0]}]}}
    return {"name": "Body", "primitives": [tube, lines], "weights": [0.5, 1.0], "extras": {"targetNames": ["up", "in"]}}


def materials(builder: GltfBuilder) -> list[dict[str, Any]]:
    """A coat with a factor, and a leaf that is cut out, transformed, on its second set."""
    picture, bump = (builder.image(LEAF[..., :n], name=name) for n, name in ((4, "leaf"), (3, "bump")))
    builder.tree["textures"] = [{"source": picture, "sampler": 0}, {"source": bump}]
    builder.tree["samplers"] = [{"magFilter": 9728, "wrapS": 33071}]
    transform = {"KHR_texture_transform": {"offset": [0.1, 0.2], "scale": [0.5, 0.5], "rotation": 0.3}}
    coat = {"baseColorFactor": [0.2, 0.9, 0.3, 0.7], "metallicFactor": 0.25}
    leaf = {"baseColorTexture": {"index": 0, "texCoord": 1, "extensions": transform}, "roughnessFactor": 0.5}
    return [
        {
            "name": "Coat",
            "pbrMetallicRoughness": coat,
            "extensions": {"KHR_materials_clearcoat": {"clearcoatFactor": 1}},
        },
        {
            "name": "Leaf",
            "pbrMetallicRoughness": leaf,
            "normalTexture": {"index": 1, "scale": 0.5},
            "emissiveFactor": [0, 0.5, 0],
            "alphaMode": "MASK",
            "alphaCutoff": 0.4,
            "doubleSided": True,
            "extras": {"from": "a tree"},
        },
    ]


def rich_gltf() -> GltfBuilder:
    """The whole file."""
    builder = GltfBuilder()
    tree = builder.tree
    tree["asset"] |= {"generator": "by hand", "copyright": "nobody", "extras": {"mine": [1, 2.5, None]}}
    second = (np.array([[0, 1], [1, 1], [1, 0], [0, 0]]) * 0.9).astype("<f4")
    leaf = {"name": "Hat", "primitives": [builder.square(material=1, attributes={"TEXCOORD_1": builder.add(second)})]}
    tree["meshes"] = [body(builder), leaf]
    tree["materials"] = materials(builder)
    bind = np.tile(np.eye(4, dtype="<f4"), (2, 1, 1))
    bind[1, 3, 1] = -1  # column after column: moved by -1 along y
    tree["skins"] = [{"joints": [1, 2], "inverseBindMatrices": builder.add(bind), "name": "Bones"}]
    tree["nodes"] = [
        {"mesh": 0, "skin": 0, "name": "Figure", "scale": [100, 100, 100]},
        {"name": "Hip", "children": [2], "translation": [0, 0, 1]},
        {"name": "Chest", "translation": [0, 1, 0], "rotation": [0, 0, 0.6, 0.8], "extras": {"socket": "hand"}},
        {"mesh": 1, "name": "Leaf", "translation": [3, 0, 0], "extensions": {"ACME_wind": {"force": 3}}},
        {"camera": 0, "name": "Eye", "translation": [0, 0, 9]},
        {"mesh": 1, "name": "Mirrored leaf", "translation": [-3, 0, 0], "scale": [-1, 1, 1]},
    ]
    tree |= {"scene": 1, "scenes": [{"nodes": [4], "name": "Studio"}, {"nodes": [0, 1, 3, 5], "name": "Stage"}]}
    tree["cameras"] = [{"type": "perspective", "perspective": {"yfov": 0.7, "znear": 0.1}}]
    times = builder.add(np.array([0, 1], "<f4"), min=[0], max=[1])
    turns = builder.add(np.array([[0, 0, 0, 1], [0, 0, 0.6, 0.8]], "<f4"))
    swell = builder.add(np.array([0, 0, 1, 0.5], "<f4"))
    tree["animations"] = [
        {
            "name": "jump",
            "channels": [
                {"sampler": 0, "target": {"node": 2, "path": "rotation"}},
                {"sampler": 1, "target": {"node": 0, "path": "weights"}},
            ],
            "samplers": [{"input": times, "output": turns}, {"input": times, "output": swell}],
        }
    ]
    tree["extensions"] = {"KHR_materials_variants": {"variants": [{"name": "leafy"}]}, "ACME_wind": {"on": True}}
    tree["extensionsUsed"] = ["KHR_materials_variants", "KHR_texture_transform", "KHR_materials_clearcoat", "ACME_wind"]
    tree["extras"] = {"author": "by hand"}
    return builder

"""GLB files by chance: nodes in trees, skins, morph targets, copies, several scenes; numbers of every type and layout.

Hypothesis chooses what a file has; the numbers themselves are drawn by numpy from a seed that hypothesis gives.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.geometry.gltf_builder import COMPONENTS, KINDS, GltfBuilder
from tests.geometry.small_meshes import packed_glb

hypothesis = __import__("pytest").importorskip("hypothesis", reason="random files are built by hypothesis")
st = hypothesis.strategies

#: Types of positions, and of texture coordinates: with floats, or whole numbers, normalised or not.
NUMBERS = [("<f4", False), *((kind, share) for kind in ("i1", "u1", "<i2", "<u2") for share in (False, True))]
POINTS, TRIANGLES, STRIP, FAN = 0, 4, 5, 6


class Chance:
    """A file that grows."""

    def __init__(self, draw: Callable) -> None:
        self._draw = draw
        self.builder = GltfBuilder()
        self.tree = self.builder.tree
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def one_of(self, choices: Any) -> Any:
        return self._draw(st.sampled_from(list(choices)))

    def maybe(self) -> bool:
        return self._draw(st.booleans())

    def accessor(self, rows: NDArray[Any], is_attribute: bool = True, may_be_sparse: bool = True, **more: Any) -> int:
        """Rows of numbers, in any layout that the standard allows."""
        rows = rows.reshape(len(rows), -1)
        about: dict[str, Any] = {"componentType": COMPONENTS[rows.dtype.str.lstrip("<|")], "count": len(rows)}
        about |= {"type": KINDS[rows.shape[1]], **more}
        stored: NDArray[Any] | None = rows
        if may_be_sparse and self.one_of([False, False, True]):
            places = np.sort(self.rng.choice(len(rows), 1 + int(self.rng.integers(len(rows))), replace=False))
            indices = {"bufferView": self.builder.view(places.astype("<u2").tobytes()), "componentType": 5123}
            values = {"bufferView": self.builder.view(rows[places].tobytes())}
            about["sparse"] = {"count": len(places), "indices": indices, "values": values}
            stored = rows.copy()
            stored[places] = 1
            stored = None if self.maybe() else stored  # without a view, all else is 0
        if stored is not None:
            lead, packed = self.one_of([0, 4, 8]), rows.dtype.itemsize * rows.shape[1]
            step = packed + (-packed % 4 + self.one_of([0, 4]) if is_attribute else 0)
            content = np.full((len(rows), step), 7, np.uint8)
            content[:, :packed] = np.ascontiguousarray(stored).view(np.uint8).reshape(len(rows), packed)
            strides = {"byteStride": step} if step != packed else {}
            about["bufferView"] = self.builder.view(bytes(lead) + content.tobytes(), **strides)
            about |= {"byteOffset": lead} if lead else {}
        self.tree["accessors"].append(about)
        return len(self.tree["accessors"]) - 1

    def drawn(self, n: int, width: int, kinds: Any = NUMBERS, most: int = 4) -> tuple[NDArray[Any], dict[str, Any]]:
        """Numbers of one of some types, and what their accessor says of them."""
        kind, is_share = self.one_of(kinds)
        if kind == "<f4":
            return (self.rng.integers(-4 * most, 4 * most + 1, (n, width)) / 4).astype(kind), {}
        limits = np.iinfo(kind)
        low, high = (limits.min, limits.max) if is_share else (max(-most, limits.min), most)
        numbers = self.rng.integers(low, high + 1, (n, width)).astype(kind)
        return numbers, {"normalized": True} if is_share else {}

    def attribute(self, n: int, width: int, **more: Any) -> int:
        rows, about = self.drawn(n, width, **more)
        return self.accessor(rows, **about)

    def packed(self) -> bytes:
        """The file; its views in the buffer of the GLB, and some in one that lies in the JSON."""
        whole, other = bytes(self.builder.data), bytearray()
        if self.maybe():
            for view in self.tree["bufferViews"]:
                if self.rng.random() < 0.3:
                    begin = view["byteOffset"]
                    view |= {"buffer": 1, "byteOffset": len(other)}
                    other += whole[begin : begin + view["byteLength"]]
                    other += bytes(-len(other) % 4)
        outside = [{"uri": _uri(bytes(other)), "byteLength": len(other)}] if other else []
        self.tree["buffers"] = [{"byteLength": len(whole)}, *outside]
        return packed_glb(self.tree, whole + bytes(-len(whole) % 4))


def _uri(data: bytes) -> str:
    builder = GltfBuilder()
    builder.data += data
    return builder.uri()


@st.composite
def gltf_files(draw: Callable) -> bytes:
    """A whole GLB file."""
    chance = Chance(draw)
    tree = chance.tree
    n_nodes, n_targets = draw(st.integers(1, 5)), draw(st.integers(0, 2))
    tree["images"] = [{"bufferView": chance.builder.view(b"no picture"), "mimeType": "image/png"}]
    chance.builder.image(chance.rng.integers(0, 256, (2, 2, 4), dtype=np.uint8))
    tree["textures"] = [{"source": 1, **({"sampler": 0} if chance.maybe() else {})}]
    tree["samplers"] = [{"wrapS": 33071}]
    tree["materials"] = [material(chance) for _ in range(draw(st.integers(1, 3)))]
    tree["skins"] = [skin(chance, n_nodes)]
    n_joints = len(tree["skins"][0]["joints"])
    tree["meshes"] = [mesh(chance, n_joints, n_targets) for _ in range(draw(st.integers(1, 2)))]
    tree["nodes"] = [node(chance, n_targets) for _ in range(n_nodes)]
    roots = []
    for index in range(n_nodes):
        above = chance.one_of([None, *range(index)])
        roots += [index] if above is None else []
        if above is not None:
            tree["nodes"][above].setdefault("children", []).append(index)
    if n_scenes := draw(st.integers(0, 2)):
        tree["scenes"] = [{"nodes": roots if i == 0 else roots[:1], "name": f"{i}"} for i in range(n_scenes)]
        tree |= {"scene": chance.one_of(range(n_scenes))} if chance.maybe() else {}
    if chance.maybe():
        tree["extensionsUsed"] = tree["extensionsRequired"] = [
            *("KHR_mesh_quantization", "EXT_mesh_gpu_instancing", "KHR_texture_transform")
        ]
    tree["extras"] = {"any": [1, {"of": "these"}], "~/": None}
    return chance.packed()


def material(chance: Chance) -> dict[str, Any]:
    """A material with or without a picture, which may be looked up by the second set, transformed."""
    texture: dict[str, Any] = {"index": 0, **({"texCoord": chance.one_of([0, 1])} if chance.maybe() else {})}
    if chance.maybe():
        turn, (x, y, across, down) = float(chance.rng.normal()), chance.rng.integers(-4, 5, 4) / 2
        every = {"offset": [x, y], "rotation": turn, "scale": [across, down], "texCoord": chance.one_of([0, 1])}
        texture["extensions"] = {"KHR_texture_transform": {name: every[name] for name in every if chance.maybe()}}
    factor = [round(number, 3) for number in chance.rng.random(4)]
    made: dict[str, Any] = {"name": chance.one_of(["one", "two"]), "alphaMode": chance.one_of(["OPAQUE", "MASK"])}
    match chance.one_of(["plain", "metal", "glossy"]):
        case "metal":
            coat = {"baseColorTexture": texture, "baseColorFactor": factor, "metallicFactor": 0.25}
            made["pbrMetallicRoughness"] = {name: coat[name] for name in coat if chance.maybe()}
        case "glossy":
            coat = {"diffuseTexture": texture, "diffuseFactor": factor, "glossinessFactor": 0.5}
            coat = {name: coat[name] for name in coat if chance.maybe()}
            made["extensions"] = {"KHR_materials_pbrSpecularGlossiness": coat}
    return made


def mesh(chance: Chance, n_joints: int, n_targets: int) -> dict[str, Any]:
    made: dict[str, Any] = {"primitives": [primitive(chance, n_joints, n_targets) for _ in chance.one_of(["a", "ab"])]}
    return {**made, "weights": _weights(chance, n_targets)} if n_targets and chance.maybe() else made


def primitive(chance: Chance, n_joints: int, n_targets: int) -> dict[str, Any]:
    """Triangles, strips, fans, or points; with any attributes."""
    mode = chance.one_of([TRIANGLES, TRIANGLES, STRIP, FAN, POINTS])
    n = 3 * chance.one_of([1, 2, 3])
    attributes = {"POSITION": chance.attribute(n, 3)}
    others: dict[str, Callable[[], int]] = {
        "NORMAL": lambda: chance.attribute(n, 3, kinds=[("<f4", False), ("i1", True)]),
        "TEXCOORD_0": lambda: chance.attribute(n, 2, most=1),
        "TEXCOORD_1": lambda: chance.attribute(n, 2, most=1),
        "COLOR_0": lambda: chance.attribute(n, 4, kinds=[("u1", True), ("<u2", True)]),
        "_MARK": lambda: chance.attribute(n, 1, kinds=[("<f4", False), ("<u2", False)]),
    }
    attributes |= {name: make() for name, make in others.items() if chance.maybe()}
    attributes |= joints(chance, n, n_joints) if chance.maybe() else {}
    made: dict[str, Any] = {"attributes": attributes, **({"mode": mode} if mode != TRIANGLES or chance.maybe() else {})}
    if chance.maybe():
        listed = chance.rng.integers(0, n, 3 * chance.one_of([1, 2, 4])).astype(chance.one_of(["u1", "<u2", "<u4"]))
        made["indices"] = chance.accessor(listed, is_attribute=False, may_be_sparse=False)
    made |= {"material": chance.one_of(range(len(chance.tree["materials"])))} if chance.maybe() else {}
    shifts = [("<f4", False), ("i1", True), ("<i2", True), ("<i2", False)]
    targets = [{"POSITION": chance.attribute(n, 3, kinds=shifts, most=1)} for _ in range(n_targets)]
    return {**made, "targets": targets} if targets else made


def joints(chance: Chance, n: int, n_joints: int) -> dict[str, int]:
    """One or two sets of joints and weights, which sum to 1 at each vertex."""
    n_sets, kind = chance.one_of([1, 2]), chance.one_of(["<f4", "u1", "<u2"])
    shares = chance.rng.dirichlet(np.full(4 * n_sets, 0.5), n)
    if kind == "<f4":
        weights, about = shares.astype(kind), {}
    else:
        most = np.iinfo(kind).max
        whole = np.floor(shares * most)
        whole[:, 0] += most - whole.sum(axis=1)
        weights, about = whole.astype(kind), {"normalized": True}
    found = {}
    for i in range(n_sets):
        number = chance.rng.integers(0, n_joints, (n, 4)).astype(chance.one_of(["u1", "<u2"]))
        found[f"JOINTS_{i}"] = chance.accessor(number)
        found[f"WEIGHTS_{i}"] = chance.accessor(
            np.ascontiguousarray(weights[:, 4 * i : 4 * i + 4]), may_be_sparse=False, **about
        )
    return found


def skin(chance: Chance, n_nodes: int) -> dict[str, Any]:
    n_joints = int(chance.rng.integers(1, 1 + n_nodes))
    made: dict[str, Any] = {"joints": chance.rng.permutation(n_nodes)[:n_joints].tolist()}
    if chance.maybe():
        binds = np.stack([matrix(chance) for _ in range(n_joints)]).astype("<f4")
        made["inverseBindMatrices"] = chance.accessor(binds, may_be_sparse=False)
    return made


def node(chance: Chance, n_targets: int) -> dict[str, Any]:
    """A node by its matrix, or by some of translation, rotation and scale; most have a mesh."""
    made: dict[str, Any] = {"name": "any", **transform(chance)}
    if chance.one_of([True, True, True, False]):
        made["mesh"] = chance.one_of(range(len(chance.tree["meshes"])))
        made |= {"skin": 0} if chance.maybe() else {}
        made |= {"weights": _weights(chance, n_targets)} if n_targets and chance.maybe() else {}
        if "skin" not in made and chance.one_of([False, False, True]):
            made["extensions"] = {"EXT_mesh_gpu_instancing": {"attributes": copies(chance)}}
    return made


def transform(chance: Chance) -> dict[str, Any]:
    if chance.one_of([False, False, True]):
        return {"matrix": matrix(chance).reshape(-1).tolist()}
    every = {
        "translation": (chance.rng.integers(-8, 9, 3) / 2).tolist(),
        "rotation": _turns(chance, 1)[0].tolist(),
        "scale": chance.rng.choice([0.5, 1, 2, -1, -1.5], 3).tolist(),
    }
    return {name: every[name] for name in every if chance.maybe()}


def matrix(chance: Chance) -> NDArray[np.float64]:
    """Column after column: any turning, shearing and scaling that leaves a volume, then a move."""
    made = np.eye(4)
    made[:3, :3] = chance.rng.integers(-2, 3, (3, 3)) + 3 * np.eye(3) * chance.one_of([1, -1])
    made[3, :3] = chance.rng.integers(-4, 5, 3)
    return made


def copies(chance: Chance) -> dict[str, int]:
    n = chance.one_of([1, 3])
    turns, about = _turns(chance, n), {}
    if chance.maybe():
        turns, about = np.round(turns * 32767).astype("<i2"), {"normalized": True}
    every = {
        "TRANSLATION": lambda: chance.accessor(chance.rng.integers(-4, 5, (n, 3)).astype("<f4")),
        "ROTATION": lambda: chance.accessor(turns, may_be_sparse=False, **about),
        "SCALE": lambda: chance.accessor(chance.rng.choice([0.5, 1, 2, -1], (n, 3)).astype("<f4"), may_be_sparse=False),
    }
    chosen = [name for name in every if chance.maybe()] or ["TRANSLATION"]
    return {name: every[name]() for name in chosen}


def _turns(chance: Chance, n: int) -> NDArray[np.float32]:
    """Unit quaternions."""
    drawn = chance.rng.normal(size=(n, 4))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype("<f4")


def _weights(chance: Chance, n_targets: int) -> list[float]:
    return (chance.rng.integers(-2, 5, n_targets) / 4).tolist()

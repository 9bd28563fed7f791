"""A slow reader of GLB files, straight from the specification: number by number, corner by corner, node by node.

Nothing of the project is in it. Points go through the nodes from the leaf to the root, one transform after another,
so that no matrices are multiplied; quaternions turn points by their own product.

Source: Khronos, glTF 2.0 specification; KHR_mesh_quantization, KHR_texture_transform, EXT_mesh_gpu_instancing.
"""

import base64
import json
import math
import struct
from dataclasses import dataclass
from typing import Any

#: Of each type of numbers: its letter for `struct`, and the largest normalised one.
COMPONENTS = {
    5120: ("b", 127),
    5121: ("B", 255),
    5122: ("h", 32767),
    5123: ("H", 65535),
    5125: ("I", 0),
    5126: ("f", 0),
}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
GLOSSY = "KHR_materials_pbrSpecularGlossiness"

Numbers = tuple[float, ...]


@dataclass(frozen=True)
class Corner:
    """A corner of a triangle where the scene has it."""

    point: Numbers
    uv: Numbers | None
    """By which the base colour is looked up, v downward."""
    vertex: int


@dataclass(frozen=True)
class Placed:
    """A primitive in one place."""

    key: tuple[int, int]
    """Its mesh, and its number in it."""
    is_skinned: bool
    triangles: list[tuple[Corner, Corner, Corner]]
    """Those of a node that mirrors are turned over; of skinned ones, the order says nothing."""


class SlowGltf:
    """A GLB file's JSON and buffer."""

    def __init__(self, content: bytes) -> None:
        magic, version, length = struct.unpack("<4sII", content[:12])
        assert (magic, version, length) == (b"glTF", 2, len(content))
        (size,) = struct.unpack("<I", content[12:16])
        self.tree: dict[str, Any] = json.loads(content[20 : 20 + size])
        rest = content[20 + size :]
        self.binary = rest[8 : 8 + struct.unpack("<I", rest[:4])[0]] if rest else b""

    def buffer(self, index: int) -> bytes:
        uri = self.tree["buffers"][index].get("uri")
        return self.binary if uri is None else base64.b64decode(uri.split(",", 1)[1])

    def numbers(self, about: dict[str, Any], letter: str, count: int, width: int) -> list[Numbers]:
        """Rows of numbers as they lie in a view (section 3.6.2.4)."""
        view = self.tree["bufferViews"][about["bufferView"]]
        data = self.buffer(view["buffer"])
        begin = view.get("byteOffset", 0) + about.get("byteOffset", 0)
        step = view.get("byteStride", width * struct.calcsize(letter))
        return [struct.unpack_from(f"<{width}{letter}", data, begin + i * step) for i in range(count)]

    def rows(self, index: int) -> list[Numbers]:
        """What an accessor says (sections 3.6.2.2, 3.6.2.3 and 3.11)."""
        about = self.tree["accessors"][index]
        letter, largest = COMPONENTS[about["componentType"]]
        count, width = about["count"], WIDTHS[about["type"]]
        found = [(0.0,) * width] * count if "bufferView" not in about else self.numbers(about, letter, count, width)
        if "sparse" in about:
            sparse = about["sparse"]
            places = COMPONENTS[sparse["indices"]["componentType"]][0]
            where = self.numbers(sparse["indices"], places, sparse["count"], 1)
            for (place,), row in zip(
                where, self.numbers(sparse["values"], letter, sparse["count"], width), strict=True
            ):
                found[int(place)] = row
        if about.get("normalized") and largest:
            return [tuple(max(number / largest, -1.0) for number in row) for row in found]
        return [tuple(map(float, row)) for row in found]

    def parents(self) -> dict[int, int]:
        nodes = self.tree.get("nodes", [])
        return {child: i for i, node in enumerate(nodes) for child in node.get("children", [])}

    def in_world(self, point: Numbers, node: int | None) -> Numbers:
        """A point of a node's own coordinates, through it and all nodes above it."""
        parents = self.parents()
        while node is not None:
            point = moved_by(point, self.tree["nodes"][node])
            node = parents.get(node)
        return point

    def mirrors(self, node: int | None) -> bool:
        """Whether a node and those above it turn faces over."""
        origin, *ends = (self.in_world(p, node) for p in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)))
        return determinant(*(minus(end, origin) for end in ends)) < 0

    def shown(self) -> list[int]:
        """The nodes of the scene, or all of them where there is none."""
        nodes, scenes = self.tree.get("nodes", []), self.tree.get("scenes", [])
        parents = self.parents()
        roots = scenes[self.tree.get("scene", 0)].get("nodes", []) if scenes else None
        waiting = list(roots) if roots is not None else [i for i in range(len(nodes)) if i not in parents]
        found = []
        while waiting:
            found.append(waiting.pop(0))
            waiting += nodes[found[-1]].get("children", [])
        return found

    def placed(self) -> list[Placed]:
        """All triangles of the scene."""
        found = []
        for index in self.shown():
            node = self.tree["nodes"][index]
            if "mesh" not in node:
                continue
            mesh = self.tree["meshes"][node["mesh"]]
            for number, primitive in enumerate(mesh["primitives"]):
                for copy in self.copies(node):
                    triangles = self.triangles(index, node, mesh, primitive, copy)
                    if triangles:
                        skinned = "skin" in node and "JOINTS_0" in primitive["attributes"]
                        found.append(Placed((node["mesh"], number), skinned, triangles))
        return found

    def copies(self, node: dict[str, Any]) -> list[dict[str, Any]]:
        """A node's instances, each as the transform of a node."""
        about = node.get("extensions", {}).get("EXT_mesh_gpu_instancing")
        if about is None:
            return [{}]
        columns = {name.lower(): self.rows(i) for name, i in about["attributes"].items() if not name.startswith("_")}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def triangles(
        self, index: int, node: dict[str, Any], mesh: dict[str, Any], primitive: dict[str, Any], copy: dict[str, Any]
    ) -> list[tuple[Corner, Corner, Corner]]:
        points = self.morphed(node, mesh, primitive)
        uv = self.uv(primitive)
        is_skinned = "skin" in node and "JOINTS_0" in primitive["attributes"]
        if is_skinned:
            places = [self.posed(point, i, node, primitive) for i, point in enumerate(points)]
        else:
            places = [self.in_world(moved_by(point, copy), index) for point in points]
        corners = [Corner(place, None if uv is None else uv[i], i) for i, place in enumerate(places)]
        listed = [int(i) for (i,) in self.rows(primitive["indices"])] if "indices" in primitive else range(len(points))
        found = [tuple(corners[i] for i in three) for three in threes(list(listed), primitive.get("mode", 4))]
        copied = [minus(moved_by(end, copy), moved_by((0, 0, 0), copy)) for end in AXES]
        turned = self.mirrors(index) != (determinant(*copied) < 0)
        return [(a, c, b) if turned and not is_skinned else (a, b, c) for a, b, c in found]

    def morphed(self, node: dict[str, Any], mesh: dict[str, Any], primitive: dict[str, Any]) -> list[Numbers]:
        """Positions with the targets' shifts (section 3.7.2.2)."""
        points = self.rows(primitive["attributes"]["POSITION"])
        weights = node.get("weights", mesh.get("weights", []))
        for weight, target in zip(weights, primitive.get("targets", []), strict=False):
            if "POSITION" in target:
                shifts = self.rows(target["POSITION"])
                points = [plus(point, times(weight, shift)) for point, shift in zip(points, shifts, strict=True)]
        return points

    def posed(self, point: Numbers, vertex: int, node: dict[str, Any], primitive: dict[str, Any]) -> Numbers:
        """A vertex where its joints carry it (section 3.7.3)."""
        skin = self.tree["skins"][node["skin"]]
        binds = self.rows(skin["inverseBindMatrices"]) if "inverseBindMatrices" in skin else None
        found: Numbers = (0.0, 0.0, 0.0)
        number = 0
        while f"JOINTS_{number}" in primitive["attributes"]:
            joints = self.rows(primitive["attributes"][f"JOINTS_{number}"])[vertex]
            weights = self.rows(primitive["attributes"][f"WEIGHTS_{number}"])[vertex]
            for joint, weight in zip(joints, weights, strict=True):
                bound = point if binds is None else moved_by(point, {"matrix": binds[int(joint)]})
                found = plus(found, times(weight, self.in_world(bound, skin["joints"][int(joint)])))
            number += 1
        return found

    def uv(self, primitive: dict[str, Any]) -> list[Numbers] | None:
        """The texture coordinates of the base colour, transformed (section 3.9; KHR_texture_transform)."""
        material = self.tree["materials"][primitive["material"]] if "material" in primitive else {}
        about = base_texture(material)
        transform = about.get("extensions", {}).get("KHR_texture_transform", {})
        name = f"TEXCOORD_{transform.get('texCoord', about.get('texCoord', 0))}"
        if name not in primitive["attributes"]:
            return None
        (x, y), (across, down) = transform.get("offset", (0, 0)), transform.get("scale", (1, 1))
        turn = complex(math.cos(transform.get("rotation", 0)), -math.sin(transform.get("rotation", 0)))
        # Counter-clockwise as the picture is looked at; v counts downward.
        turned = [complex(u * across, v * down) * turn for u, v in self.rows(primitive["attributes"][name])]
        return [(number.real + x, number.imag + y) for number in turned]

    def material(self, key: tuple[int, int]) -> dict[str, Any] | None:
        """What a primitive shows."""
        primitive = self.tree["meshes"][key[0]]["primitives"][key[1]]
        return self.tree["materials"][primitive["material"]] if "material" in primitive else None

    def picture(self, material: dict[str, Any]) -> bytes:
        """The file of its base colour's picture."""
        image = self.tree["images"][self.tree["textures"][base_texture(material)["index"]]["source"]]
        view = self.tree["bufferViews"][image["bufferView"]]
        begin = view.get("byteOffset", 0)
        return self.buffer(view["buffer"])[begin : begin + view["byteLength"]]


def base_texture(material: dict[str, Any]) -> dict[str, Any]:
    """What a material says of its base colour's texture; empty where it has none."""
    if GLOSSY in material.get("extensions", {}):
        return material["extensions"][GLOSSY].get("diffuseTexture", {})
    return material.get("pbrMetallicRoughness", {}).get("baseColorTexture", {})


AXES: tuple[Numbers, ...] = ((1, 0, 0), (0, 1, 0), (0, 0, 1))


def threes(listed: list[int], mode: int) -> list[tuple[int, int, int]]:
    """The vertices of each triangle (section 3.7.2.1)."""
    if mode == 4:
        return [(listed[i], listed[i + 1], listed[i + 2]) for i in range(0, len(listed), 3)]
    if mode == 5:
        return [(listed[i], listed[i + 1 + i % 2], listed[i + 2 - i % 2]) for i in range(len(listed) - 2)]
    if mode == 6:
        return [(listed[i + 1], listed[i + 2], listed[0]) for i in range(len(listed) - 2)]
    return []


def moved_by(point: Numbers, node: dict[str, Any]) -> Numbers:
    """A point through a node's matrix, or scaled, turned and moved (section 3.5.3)."""
    if "matrix" in node:
        m = node["matrix"]
        x, y, z = point
        return tuple(m[i] * x + m[4 + i] * y + m[8 + i] * z + m[12 + i] for i in range(3))
    scaled = tuple(a * b for a, b in zip(point, node.get("scale", (1, 1, 1)), strict=True))
    return plus(turned_by(scaled, node.get("rotation", (0, 0, 0, 1))), node.get("translation", (0, 0, 0)))


def turned_by(point: Numbers, quaternion: Numbers) -> Numbers:
    """q p q*, of a quaternion x, y, z, w brought to length 1: p + 2 w (v x p) + 2 v x (v x p)."""
    length = math.sqrt(sum(number**2 for number in quaternion))
    *vector, w = (number / length for number in quaternion)
    once = cross(tuple(vector), point)
    return plus(point, plus(times(2 * w, once), times(2, cross(tuple(vector), once))))


def cross(a: Numbers, b: Numbers) -> Numbers:
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


def determinant(a: Numbers, b: Numbers, c: Numbers) -> float:
    return sum(x * y for x, y in zip(a, cross(b, c), strict=True))


def plus(a: Numbers, b: Numbers) -> Numbers:
    return tuple(x + y for x, y in zip(a, b, strict=True))


def minus(a: Numbers, b: Numbers) -> Numbers:
    return tuple(x - y for x, y in zip(a, b, strict=True))


def times(factor: float, a: Numbers) -> Numbers:
    return tuple(factor * x for x in a)


def area(triangles: list[tuple[Corner, Corner, Corner]]) -> float:
    """Half the length of each one's normal."""
    return sum(
        math.dist((0, 0, 0), cross(minus(b.point, a.point), minus(c.point, a.point))) / 2 for a, b, c in triangles
    )

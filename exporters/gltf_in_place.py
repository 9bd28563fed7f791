"""The user's own glTF file with its base colour exchanged: its JSON and its buffers, with a few things added.

What is painted gets a new texture. Where it has a new atlas, its vertices are doubled along the seams with all that
they carry (skin, morph targets, colours), and the atlas is one more set of texture coordinates. A material that also
shows on something else is left to it, and a copy is made. Everything that was in the file stays in it: numbers keep
their places, and new things are put behind the old.

Source: Khronos, glTF 2.0 specification, sections 3.6 (binary data), 3.7 (meshes) and 3.9 (materials).
"""

import copy
import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from exporters.glb import MATTE
from exporters.gltf_additions import Additions
from exporters.gltf_alpha import with_own_alpha
from exporters.painted_surface import first_of_each
from geometry.gltf_file import Gltf, component_of
from geometry.gltf_material import TRANSFORM, base_colour_slots
from geometry.gltf_packed import DRACO
from geometry.gltf_scene import triangles
from geometry.mesh import Mesh

#: A picture, row 0 on top, the faces that show it, and whether they keep their texture coordinates.
Laid = tuple[UInt8[np.ndarray, "_ _ 3"], Int[np.ndarray, "_"], bool]


@dataclass(frozen=True)
class _Shown:
    """What shows a texture in the same way: primitives of one material, by the same set of texture coordinates."""

    material: int | None
    texcoord: int | None
    """The number of the new set; None where they keep their own."""


def with_base_colour(
    gltf: Gltf, mesh: Mesh, laid: Sequence[Laid], new_uv: Float[np.ndarray, "faces 3 2"] | None
) -> Additions:
    """A file with these pictures for its base colour.

    Args:
        mesh: as it was read from the file.
        laid: the faces of a primitive all show the same picture.
        new_uv: new texture coordinates of the faces' corners, v upward; None: the file's own.
    """
    more = Additions(gltf)
    users = _users(gltf.tree)
    first = mesh.file.first_copy()
    for picture, shown_by, keeps_uv in laid:
        corner_uv = None if keeps_uv else new_uv
        faces = shown_by[first[shown_by] == shown_by]
        image = more.picture(with_own_alpha(gltf, mesh, picture, faces, corner_uv))
        shown: dict[_Shown, list[tuple[int, int]]] = {}
        for part, own in mesh.file.by_part(faces):
            place = mesh.file.primitives[part]
            primitive = gltf.tree["meshes"][place[0]]["primitives"][place[1]]
            number = None if corner_uv is None else _next_set(primitive)
            shown.setdefault(_Shown(primitive.get("material"), number), []).append(place)
            if corner_uv is not None:
                _split(more, place, corner_uv[own], mesh.file.corner[own])  # pyright: ignore[reportOptionalSubscript]
        for look, places in shown.items():
            index = _repainted(more, look, image, in_place=users[look.material] == len(places))
            for number, primitive in places:
                more.tree["meshes"][number]["primitives"][primitive]["material"] = index
    return more


def _users(tree: dict[str, Any]) -> Counter[int | None]:
    """How many primitives show each material, in any scene and in any variant."""
    primitives = [primitive for mesh in tree["meshes"] for primitive in mesh["primitives"]]
    variants = [one.get("extensions", {}).get("KHR_materials_variants", {}) for one in primitives]
    users = Counter(one.get("material") for one in primitives)
    users.update(mapping["material"] for one in variants for mapping in one.get("mappings", []))
    return users


def _next_set(primitive: dict[str, Any]) -> int:
    """The first number that no set of texture coordinates has: the standard wants them without gaps."""
    return next(number for number in itertools.count() if f"TEXCOORD_{number}" not in primitive["attributes"])


def _repainted(more: Additions, look: _Shown, image: int, in_place: bool) -> int:
    """The number of a material that shows an image as its base colour, else as it was: that material, or a copy."""
    materials = more.tree.setdefault("materials", [])
    if look.material is None:
        material: dict[str, Any] = {"pbrMetallicRoughness": dict(MATTE)}
    else:
        material = materials[look.material] if in_place else copy.deepcopy(materials[look.material])
    material.setdefault("pbrMetallicRoughness", {})
    for slot, name, factor in base_colour_slots(material):
        slot[name] = _texture_info(more, slot.get(name, {}), look.texcoord, image)
        if factor in slot:
            slot[factor] = [1, 1, 1, *slot[factor][3:]]
    if in_place and look.material is not None:
        return look.material
    materials.append(material)
    return len(materials) - 1


def _texture_info(more: Additions, before: dict[str, Any], texcoord: int | None, image: int) -> dict[str, Any]:
    """What a material says of its texture: as before, but with a new image, and where there is one a new set."""
    textures = more.tree.setdefault("textures", [])
    sampler = textures[before["index"]].get("sampler") if "index" in before and texcoord is None else None
    textures.append({"source": image} if sampler is None else {"sampler": sampler, "source": image})
    info = {**before, "index": len(textures) - 1}
    if texcoord is None:
        return info
    extensions = {name: value for name, value in info.pop("extensions", {}).items() if name != TRANSFORM}
    return {**info, "texCoord": texcoord, **({"extensions": extensions} if extensions else {})}


def _split(
    more: Additions,
    place: tuple[int, int],
    corner_uv: Float[np.ndarray, "own 3 2"],
    corner: Int[np.ndarray, "own 3"],
) -> None:
    """Give a primitive one more set of texture coordinates, and a vertex for each different place in it."""
    gltf, (number, index) = more.gltf, place
    before = gltf.tree["meshes"][number]["primitives"][index]
    faces = triangles(gltf, before, len(gltf.attribute(before, "POSITION")))
    assert faces is not None, "points and lines are not painted"
    turned = (faces != corner).any(axis=1, keepdims=True)[..., None]  # a mirroring node turns faces over
    uv = np.where(turned, corner_uv[:, ::-1], corner_uv).reshape(-1, 2).astype(np.float64)
    first, vertex = first_of_each(np.column_stack([faces.reshape(-1), uv]))
    kept = faces.reshape(-1)[first]
    after = more.tree["meshes"][number]["primitives"][index]
    after["attributes"] = {
        name: more.array(gltf.attribute(before, name)[kept], accessor, is_position=name == "POSITION")
        for name, accessor in before["attributes"].items()
    }
    down = (uv[first] * [1, -1] + [0, 1]).astype("<f4")
    after["attributes"][f"TEXCOORD_{_next_set(before)}"] = more.array(
        down, {"componentType": component_of(down.dtype), "type": "VEC2"}
    )
    if "targets" in before:
        after["targets"] = [
            {
                name: more.array(gltf.stored(accessor)[kept], accessor, is_position=name == "POSITION")
                for name, accessor in target.items()
            }
            for target in before["targets"]
        ]
    listed = vertex.astype("<u2" if len(kept) < 2**16 else "<u4")[:, None]
    about = {"componentType": component_of(listed.dtype), "type": "SCALAR"}
    after["indices"] = more.array(listed, about, is_index=True)
    if "mode" in after:
        after["mode"] = 4
    if DRACO in after.get("extensions", {}):
        after["extensions"] = {name: value for name, value in after["extensions"].items() if name != DRACO}

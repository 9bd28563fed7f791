"""The base colour of glTF materials: which texture coordinates it takes, its picture, and what multiplies it.

Source: Khronos, glTF 2.0 specification, section 3.9; KHR_texture_transform, EXT_texture_webp, EXT_texture_avif,
KHR_texture_basisu, KHR_materials_pbrSpecularGlossiness (whose diffuse colour stands for the base colour).
"""

from collections import Counter
from typing import Any

import numpy as np
from jaxtyping import Float

from core.errors import UserError
from geometry.gltf_file import BROKEN, Gltf
from geometry.gltf_packed import BASIS
from geometry.polygons import single_precision

TRANSFORM, GLOSSY = "KHR_texture_transform", "KHR_materials_pbrSpecularGlossiness"
#: Extensions of textures whose pictures can be opened.
_PICTURES = ("EXT_texture_webp", "EXT_texture_avif")


def base_colour_slots(material: dict[str, Any]) -> list[tuple[dict[str, Any], str, str]]:
    """Where a material says its base colour: an object, and in it the names of the texture and of the factor."""
    glossy = material.get("extensions", {}).get(GLOSSY)
    slots = [] if glossy is None else [(glossy, "diffuseTexture", "diffuseFactor")]
    if glossy is None or "pbrMetallicRoughness" in material:
        slots.append((material.get("pbrMetallicRoughness", {}), "baseColorTexture", "baseColorFactor"))
    return slots


def base_colour(gltf: Gltf, material: int | None) -> tuple[dict[str, Any] | None, Float[np.ndarray, "4"]]:
    """What a material says of its base colour's texture, if it has one, and its linear RGBA factor."""
    if material is None:
        return None, np.ones(4)
    slot, texture, factor = base_colour_slots(gltf.item("materials", material))[0]
    return slot.get(texture), np.array(slot.get(factor, (1, 1, 1, 1)), np.float64).reshape(4)


def base_colour_uv(
    gltf: Gltf, primitive: dict[str, Any], n_vertices: int
) -> tuple[Float[np.ndarray, "vertices 2"] | None, str | None]:
    """The texture coordinates that a primitive's base colour takes, transformed, v downward; or None and why."""
    texture = base_colour(gltf, primitive.get("material"))[0] or {}
    transform = texture.get("extensions", {}).get(TRANSFORM, {})
    number = transform.get("texCoord", texture.get("texCoord", 0))
    uv = gltf.numbers(primitive, f"TEXCOORD_{number}", 2)
    if uv is None or len(uv) != n_vertices:
        return None, f"a texture of its wants TEXCOORD_{number}, which is not there" if texture else None
    if transform.keys() & {"offset", "rotation", "scale"}:
        turn, (across, down) = float(transform.get("rotation", 0.0)), map(float, transform.get("scale", (1, 1)))
        sine, cosine = np.sin(turn), np.cos(turn)
        turned = np.array([[cosine * across, sine * down], [-sine * across, cosine * down]])
        uv = uv.astype(np.float64) @ turned.T + np.array(transform.get("offset", (0, 0)), np.float64).reshape(2)
    return single_precision(uv), None


def material_names(gltf: Gltf) -> dict[str | int | None, str]:
    """What each material is called: by its name, or where that is missing or not the only one, with its number."""
    listed = [str(material.get("name") or "") for material in gltf.tree.get("materials", [])]
    count = Counter(listed)
    return {
        index: name if name and count[name] == 1 else f"{name or 'material'} {index}"
        for index, name in enumerate(listed)
    }


def picture_of(gltf: Gltf, texture: dict[str, Any]) -> tuple[str, bytes]:
    """Name and content of the picture that a texture shows.

    Raises:
        UserError: it is of a kind that cannot be opened, or is not there.
    """
    try:
        about = gltf.item("textures", texture["index"])
        extended = about.get("extensions", {})
        known = [extended[name]["source"] for name in _PICTURES if name in extended]
        if not known and "source" not in about and BASIS in extended:  # a plain picture is read before a packed one
            known = [extended[BASIS]["source"]]
        if not known and "source" not in about and extended:
            raise UserError(f"{gltf.path}: its texture needs {', '.join(extended)}, which is not read; save it as PNG")
        number = known[0] if known else about["source"]
        image = gltf.item("images", number)
        content = gltf.view(image["bufferView"]) if "bufferView" in image else gltf.resource(image["uri"])
        return image.get("name") or f"image {number}", content
    except BROKEN as error:
        raise UserError(f"{gltf.path}: its materials refer to textures that are not there ({error})") from error

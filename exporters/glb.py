"""Writes binary glTF 2.0: one mesh, its colours at the vertices or in embedded textures.

The same arrays give the same bytes: nothing of the clock or the machine goes in.

Source: Khronos, glTF 2.0 specification, sections 3.6 (binary data), 3.7 (meshes), 3.8 (textures) and 3.9 (materials).
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8
from numpy.typing import NDArray
from PIL import Image

from geometry.gltf_container import container
from geometry.gltf_file import component_of
from geometry.mesh import Mesh
from geometry.pictures import linear_from_srgb

GENERATOR = "Latent-NeRF"
ARRAY, INDICES = 34962, 34963
_LINEAR, _LINEAR_MIPMAP_LINEAR, _REPEAT = 9729, 9987, 10497
#: A material that throws light back to all sides alike.
MATTE = {"metallicFactor": 0.0, "roughnessFactor": 1.0}

#: A mesh that lies farther from the origin than so many times its extent is written about a node of its own.
FARTHEST = 1000.0


@dataclass(frozen=True, eq=False)
class Texture:
    """A picture, and what shows it."""

    picture: UInt8[np.ndarray, "rows columns 3"]
    """sRGB bytes, row 0 on top."""
    faces: Int[np.ndarray, "shown"]
    """Of a mesh, whose texture coordinates say where they lie in it."""
    name: str = ""
    """Of its material."""


class Binary:
    """The buffer of a GLB and the JSON that describes it, growing together."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.views: list[dict[str, Any]] = []
        self.accessors: list[dict[str, Any]] = []

    def add(self, array: NDArray[Any], kind: str, target: int | None, **more: Any) -> int:
        """Append an array and give the index of its accessor; `target`: of vertices or indices, None for all else."""
        about = {} if target is None else {"target": target}
        view = self.view(np.ascontiguousarray(array).tobytes(), **about)
        count = array.size if kind == "SCALAR" else len(array)
        component = component_of(array.dtype)
        accessor = {"bufferView": view, "componentType": component, "count": count, "type": kind}
        self.accessors.append({**accessor, **more})
        return len(self.accessors) - 1

    def view(self, content: bytes, **more: Any) -> int:
        """Append bytes and give the index of their view."""
        self.views.append({"buffer": 0, "byteOffset": len(self.data), "byteLength": len(content), **more})
        self.data += content + bytes(-len(content) % 4)  # accessors begin at multiples of their component's size
        return len(self.views) - 1


def glb_bytes(mesh: Mesh, extras: dict[str, Any], textures: Sequence[Texture] = ()) -> bytes:
    """A mesh as the content of a GLB file.

    Args:
        mesh: with a colour at each vertex, or with texture coordinates and a texture.
        textures: in place of the mesh's one; each face shows one of them.
        extras: what travels along in `asset.extras`: anything that JSON can hold.
    """
    textures = textures_of(mesh, textures)
    binary = Binary()
    middle = _far_middle(mesh)
    with np.errstate(over="ignore", invalid="ignore"):  # vertices that no face uses may be anything
        vertices = (mesh.vertices if middle is None else mesh.vertices - middle).astype("<f4")
    # A vertex that no face uses may be no number, and stays so; a bound that is none would be no JSON.
    numbers = np.where(np.isfinite(vertices), vertices, np.nan)
    bounds = {"min": np.nanmin(numbers, axis=0).tolist(), "max": np.nanmax(numbers, axis=0).tolist()}
    attributes = {"POSITION": binary.add(vertices, "VEC3", ARRAY, **bounds)}
    if mesh.normals is not None:
        attributes["NORMAL"] = binary.add(mesh.normals.astype("<f4"), "VEC3", ARRAY)
    if mesh.colours is not None:
        attributes["COLOR_0"] = binary.add(_vertex_colours(mesh.colours), "VEC4", ARRAY, normalized=True)
    materials: list[dict[str, Any]] = [{"pbrMetallicRoughness": MATTE}]
    pictures: dict[str, Any] = {}
    if textures:
        attributes["TEXCOORD_0"] = binary.add(mesh.uv_with(v_down=True).astype("<f4"), "VEC2", ARRAY)
        pictures = _pictures([binary.view(png_bytes(one.picture)) for one in textures])
        materials = [_material(one.name, index) for index, one in enumerate(textures)]
    parts = [mesh.faces[one.faces] for one in textures] or [mesh.faces]
    listed = [binary.add(faces.astype("<u4").reshape(-1), "SCALAR", INDICES) for faces in parts]
    primitives = [{"attributes": attributes, "indices": one, "material": index} for index, one in enumerate(listed)]
    tree = {
        "asset": {"version": "2.0", "generator": GENERATOR, **({"extras": extras} if extras else {})},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0} if middle is None else {"mesh": 0, "translation": middle.tolist()}],
        "meshes": [{"primitives": primitives}],
        "materials": materials,
        **pictures,
        "accessors": binary.accessors,
        "bufferViews": binary.views,
        "buffers": [{"byteLength": len(binary.data)}],
    }
    return container(tree, [(b"BIN\0", bytes(binary.data))])


def _far_middle(mesh: Mesh) -> Float[np.ndarray, "3"] | None:
    """The middle of a mesh that lies so far from the origin that float32 would distort it: its node moves it there."""
    used = mesh.vertices[np.unique(mesh.faces)]
    low, high = used.min(axis=0), used.max(axis=0)
    is_far = np.abs(used).max() > FARTHEST * (high - low).max()
    return np.round(low / 2 + high / 2) if is_far else None


def textures_of(mesh: Mesh, textures: Sequence[Texture] = ()) -> list[Texture]:
    """The mesh's own texture, which all of its faces show; or else these."""
    return list(textures) if mesh.texture is None else [Texture(mesh.texture, np.arange(len(mesh.faces)))]


def _material(name: str, texture: int) -> dict[str, Any]:
    matte = {"pbrMetallicRoughness": {**MATTE, "baseColorTexture": {"index": texture}}}
    return {"name": name, **matte} if name else matte


def _pictures(views: Sequence[int]) -> dict[str, Any]:
    sampler = {"magFilter": _LINEAR, "minFilter": _LINEAR_MIPMAP_LINEAR, "wrapS": _REPEAT, "wrapT": _REPEAT}
    return {
        "textures": [{"sampler": 0, "source": index} for index in range(len(views))],
        "samplers": [sampler],
        "images": [{"bufferView": view, "mimeType": "image/png"} for view in views],
    }


def png_bytes(picture: UInt8[np.ndarray, "rows columns channels"]) -> bytes:
    """A picture as a PNG file's content."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return file.getvalue()


def _vertex_colours(colours: NDArray[Any]) -> NDArray[np.uint16]:
    # glTF's vertex colours are linear, where pictures are sRGB; 16 bits, since 8 linear ones leave steps in the dark.
    linear = linear_from_srgb(colours.clip(0, 1).astype(np.float64))
    opaque = np.concatenate([linear, np.ones((len(linear), 1))], axis=1)
    return np.rint(opaque * 65535).astype("<u2")

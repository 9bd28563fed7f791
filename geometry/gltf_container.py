"""A glTF 2.0 file as it lies on a disk: its JSON, alone or with chunks behind it in a GLB, read and written.

Source: Khronos, glTF 2.0 specification, section 4 (GLB).
"""

import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import parse_json
from geometry.gltf_file import Gltf
from geometry.gltf_packed import BASIS, DRACO, MESHOPT
from geometry.source_file import unreadable

GLB_HEADER, GLB_CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")
#: Required extensions that are read, or that say nothing of where a surface lies and what its base colour is.
KNOWN_EXTENSIONS = frozenset(
    {DRACO, *MESHOPT, BASIS, "KHR_mesh_quantization", "EXT_mesh_gpu_instancing", "KHR_texture_transform"}
    | {"EXT_texture_webp", "EXT_texture_avif", "KHR_lights_punctual", "KHR_animation_pointer", "KHR_xmp_json_ld"}
    | {f"KHR_materials_{name}" for name in ("anisotropy", "clearcoat", "dispersion", "emissive_strength", "ior")}
    | {f"KHR_materials_{name}" for name in ("iridescence", "pbrSpecularGlossiness", "sheen", "specular")}
    | {f"KHR_materials_{name}" for name in ("diffuse_transmission", "transmission", "unlit", "variants", "volume")}
)


def parsed(content: bytes, path: Path) -> Gltf:
    """A glTF file's JSON, and what follows it.

    Raises:
        UserError: it is no glTF 2.0, or requires an extension that is not read here.
    """
    text, chunks = content, []
    try:
        if content.startswith(b"glTF"):
            (_, text), *chunks = _chunks(content, path)
        elif path.suffix.lower() == ".glb":
            raise unreadable(path, "it does not begin with 'glTF'")
        tree = parse_json(text)
    except (ValueError, struct.error) as error:
        raise unreadable(path, str(error)) from error
    if not isinstance(tree, dict):
        raise unreadable(path, "its JSON is no object")
    asset = tree.get("asset")
    version = str(asset.get("version", "2.0")) if isinstance(asset, dict) else "2.0"
    if not version.startswith("2."):
        raise _of_version(path, version)
    required = tree.get("extensionsRequired")
    names = [str(name) for name in required] if isinstance(required, list) else []
    if unknown := [name for name in names if name not in KNOWN_EXTENSIONS]:
        raise unreadable(path, f"it needs {', '.join(unknown)}, which is not read here; save it without that extension")
    return Gltf(path, tree, tuple(chunks))


def _of_version(path: Path, version: str) -> UserError:
    return unreadable(path, f"it is glTF {version}, and 2.0 is read; save it as glTF 2.0")


def _chunks(content: bytes, path: Path) -> list[tuple[bytes, bytes]]:
    """Kind and content of a GLB's chunks; the first is its JSON.

    Raises:
        UserError: it is of another version.
        ValueError: it ends too early.
    """
    _, version, length = GLB_HEADER.unpack_from(content)
    if version != 2:
        raise _of_version(path, f"{version}.0")
    found, at, end = [], GLB_HEADER.size, min(length, len(content))
    while at + GLB_CHUNK.size <= end:
        size, kind = GLB_CHUNK.unpack_from(content, at)
        at += GLB_CHUNK.size
        if at + size > len(content):
            raise ValueError(f"it is cut off: a part of {size:,} bytes is announced, {len(content) - at:,} are there")
        found.append((kind, content[at : at + size]))
        at += size
    if not found or found[0][0] != b"JSON":
        raise ValueError("its first part is no JSON")
    return found


def container(tree: dict[str, Any], chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The content of a GLB file: its JSON, and kind and content of each further chunk (section 4)."""
    text = json.dumps(tree, separators=(",", ":"), ensure_ascii=True).encode()
    parts = [(b"JSON", text + b" " * (-len(text) % 4))]
    parts += [(kind, content + bytes(-len(content) % 4)) for kind, content in chunks]
    body = b"".join(GLB_CHUNK.pack(len(content), kind) + content for kind, content in parts)
    return GLB_HEADER.pack(b"glTF", 2, GLB_HEADER.size + len(body)) + body

"""The files that a mesh file needs beside itself: materials and pictures of OBJ, buffers and pictures of glTF.

Only names are read here, and only files in the mesh's own folder or below count (own_folder.py opens no others).
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

_OBJ_LIBRARY = re.compile(rb"^[ \t]*mtllib[ \t]+(.+?)[ \t\r]*$", re.MULTILINE)
_MTL_PICTURE = re.compile(
    rb"^[ \t]*(?:map_\w+|bump|disp|decal|norm|refl)[ \t]+(.+?)[ \t\r]*$", re.MULTILINE | re.IGNORECASE
)
_PLY_PICTURE = re.compile(rb"^comment TextureFile[ \t]+(.+?)[ \t\r]*$", re.MULTILINE)
#: A PLY file's header ends within this, in bytes.
_HEADER = 2**16


def companions(mesh: Path) -> list[str]:
    """Names of the files that a mesh file refers to and that are there, relative to its folder, each once.

    A file that cannot be read or understood has none: whoever reads the mesh says what is wrong with it.
    """
    folder = mesh.parent.resolve()
    try:
        named = [os.path.normpath(name) for name in _names(mesh)]
        inside = [name for name in named if (folder / name).resolve().is_relative_to(folder)]
        return list(dict.fromkeys(name for name in inside if (folder / name).is_file()))
    except (OSError, ValueError):
        return []


def _names(mesh: Path) -> Iterator[str]:
    suffix = mesh.suffix.lower()
    if suffix == ".obj":
        for library in _texts(_OBJ_LIBRARY, mesh.read_bytes()):
            yield library
            if (mesh.parent / library).is_file():
                pictures = _texts(_MTL_PICTURE, (mesh.parent / library).read_bytes())
                # Options such as `-s 1 1 1` may stand before the name, which may hold spaces.
                yield from (name for line in pictures for name in (line, line.split()[-1]))
    elif suffix == ".ply":
        with mesh.open("rb") as file:
            yield from _texts(_PLY_PICTURE, file.read(_HEADER))
    elif suffix == ".gltf":
        content: Any = json.loads(mesh.read_bytes())
        entries = [*content.get("buffers", []), *content.get("images", [])] if isinstance(content, dict) else []
        uris = [entry.get("uri") for entry in entries if isinstance(entry, dict)]
        yield from (unquote(uri) for uri in uris if isinstance(uri, str) and not uri.startswith("data:"))


def _texts(pattern: re.Pattern[bytes], content: bytes) -> list[str]:
    return [found.decode(errors="replace") for found in pattern.findall(content)]

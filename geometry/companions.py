"""The files that a mesh file needs beside itself: materials and pictures of OBJ, buffers and pictures of glTF.

Only names are read here, and only files in the mesh's own folder or below count (source_file.py finds no others).
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from core.errors import UserError
from core.files import parse_json
from geometry.mtl_file import library_names, pictures_of
from geometry.source_file import find_beside, utf8_of

_OBJ_LIBRARY = re.compile(rb"^[ \t]*mtllib[ \t]+(.+?)[ \t\r]*$", re.MULTILINE)
_PLY_PICTURE = re.compile(rb"^comment TextureFile[ \t]+(.+?)[ \t\r]*$", re.MULTILINE)
#: A PLY file's header ends within this, in bytes.
_HEADER = 2**16


def companions(mesh: Path) -> list[str]:
    """Names of the files that a mesh file refers to and that are there, relative to its folder, each once.

    A file that cannot be read or understood has none: whoever reads the mesh says what is wrong with it.
    """
    found: dict[str, None] = {}
    with suppress(OSError, ValueError):
        for name in _names(mesh):
            with suppress(UserError, OSError, ValueError, RuntimeError):
                found[str(find_beside(mesh, name).relative_to(mesh.parent.resolve()))] = None
    return list(found)


def _names(mesh: Path) -> Iterator[str]:
    suffix = mesh.suffix.lower()
    if suffix == ".obj":
        for line in _OBJ_LIBRARY.findall(utf8_of(mesh.read_bytes())):
            for library in library_names(line):
                yield library
                with suppress(UserError, OSError):
                    yield from pictures_of(utf8_of(find_beside(mesh, library).read_bytes()).splitlines())
    elif suffix == ".ply":
        with mesh.open("rb") as file:
            yield from (name.decode(errors="replace") for name in _PLY_PICTURE.findall(file.read(_HEADER)))
    elif suffix == ".gltf":
        content: Any = parse_json(mesh.read_bytes())
        entries = [*content.get("buffers", []), *content.get("images", [])] if isinstance(content, dict) else []
        uris = [entry.get("uri") for entry in entries if isinstance(entry, dict)]
        yield from (uri for uri in uris if isinstance(uri, str) and not uri.startswith("data:"))

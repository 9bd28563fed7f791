"""Where a mesh was read from: what its file holds besides triangles, files next to it, errors on broken ones."""

import codecs
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np
from jaxtyping import Int

from core.errors import UserError

NO_UV = "it has no texture coordinates"
SOME_UV = "some faces have no texture coordinates"
BROKEN_UV = "a face names a texture coordinate that does not exist"
#: What is saved under another's name by mistake: how it begins, and what to do.
_MISTAKEN = (
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'"),
    (b"<!doctype html", "a web page, not the file itself; download that"),
    (b"<html", "a web page, not the file itself; download that"),
)


@dataclass(frozen=True, eq=False)
class SourceFile:
    """The file that a mesh was read from, and what it holds besides positions, faces and texture coordinates.

    A part of a file is what has a material of its own or is placed on its own: in OBJ the faces of one material, in
    glTF a primitive as a node places it, in STL a solid.
    """

    path: Path
    kind: str
    """The format: obj, ply, stl, glb, gltf or off."""
    polygon: Int[np.ndarray, "faces"]
    """The polygon that each triangle is cut from: counted from 0 in the file's order, points and lines left out."""
    part: Int[np.ndarray, "faces"]
    """The part of the file that each triangle belongs to."""
    materials: tuple[str | int | None, ...] = (None,)
    """The material of each part: in OBJ its name, in glTF its index; None where it has none."""
    without_uv: str = NO_UV
    """Why the mesh has no texture coordinates, where it has none."""
    textures: tuple[str, ...] = ()
    """Files that it refers to: the material libraries of OBJ, the pictures of PLY."""
    document: Any = None
    """The parsed file where it is glTF (`Gltf` of gltf_file.py), else None."""
    primitives: tuple[tuple[int, int], ...] = ()
    """In glTF, of each part its mesh and its number in that mesh's primitives; the same for parts that are copies."""
    corner: Int[np.ndarray, "faces 3"] | None = None
    """In glTF, of each corner the number of its vertex in its primitive's attributes; in files of polygons, the number
    of the polygon's corner that it is, counted through all polygons."""
    names: dict[str | int | None, str] = field(default_factory=dict)
    """What materials are called, where that is not what `materials` says."""

    @property
    def n_split(self) -> int:
        """How many polygons had more than three corners."""
        return int((np.bincount(self.polygon) > 1).sum())

    def material_name(self, material: str | int | None) -> str:
        """What people call a material of this file."""
        return self.names.get(material) or ("(none)" if material is None else str(material))

    def material_of_faces(self) -> tuple[tuple[str | int | None, ...], Int[np.ndarray, "faces"]]:
        """The different materials that faces have, in the order of the file, and for each face which one it has."""
        seen: dict[str | int | None, int] = {}
        number = np.array([seen.setdefault(material, len(seen)) for material in self.materials], np.int64)
        return tuple(seen), number[self.part]

    def by_part(self, faces: Int[np.ndarray, "some"]) -> Iterator[tuple[int, Int[np.ndarray, "of_part"]]]:
        """Parts of the file, and those of these faces that each has."""
        faces = faces[np.argsort(self.part[faces], kind="stable")]
        parts, begins = np.unique(self.part[faces], return_index=True)
        yield from zip(parts.tolist(), np.split(faces, begins[1:]), strict=True)

    def first_copy(self) -> Int[np.ndarray, "faces"]:
        """For each face the first that has the same texture coordinates by the file's own making: itself, unless it is
        of a glTF mesh that is placed again."""
        number = np.arange(len(self.part))
        if not self.primitives:
            return number
        seen: dict[tuple[int, int], int] = {}
        first = np.array([seen.setdefault(key, part) for part, key in enumerate(self.primitives)], np.int64)
        begins = np.searchsorted(self.part, np.arange(len(self.primitives)))  # parts come one after the other
        return begins[first[self.part]] + number - begins[self.part]


def read_beside(path: Path, name: str) -> bytes:
    """A file that a mesh file refers to.

    Args:
        path: of the mesh file.
        name: as the mesh file has it: in glTF a URI, where %20 is a space (glTF 2.0, section 2.8), else a path.

    Raises:
        UserError: it lies elsewhere, does not exist, or cannot be read.
    """
    try:
        content = find_beside(path, name).read_bytes()
    except (OSError, ValueError, RuntimeError) as error:  # no permission; no name of a file; links in a circle
        raise UserError(f"{path}: refers to '{name}', which cannot be read: {error}") from error
    if what := stands_in(content[:256]):
        raise UserError(f"{path}: refers to '{name}': {what}")
    return content


def stands_in(start: bytes) -> str | None:
    """What a file is, by its first bytes, that was saved under the name of another, and what to do."""
    text = start.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((told for mark, told in _MISTAKEN if text.startswith(mark)), None)


def find_beside(path: Path, name: str) -> Path:
    """Where a file lies that a mesh file refers to: in the mesh's own folder or below, and never elsewhere.

    Where nothing lies under its name, it is the file beside the mesh that is called so: exporters write where a file
    lay on the machine that they ran on, and some file systems take capital letters and small ones for the same.

    Raises:
        UserError: it lies elsewhere, or does not exist.
        OSError, ValueError, RuntimeError: it cannot be looked for.
    """
    plain = unquote(name) if path.suffix.lower() in (".gltf", ".glb") else name.strip(' "').replace("\\", "/")
    folder = path.parent.resolve()
    wanted = Path(os.path.normpath(folder / plain.strip()))
    is_inside = wanted.resolve().is_relative_to(folder)  # follows links, so that none leads out of the folder
    if is_inside and wanted.is_file():
        return wanted
    called = PurePosixPath(plain.strip()).name.casefold()
    looked_in = wanted.parent if is_inside and wanted.parent.is_dir() else folder
    for near in sorted(looked_in.iterdir()):
        if near.name.casefold() == called and near.is_file() and near.resolve().is_relative_to(folder):
            return near
    if not is_inside:
        raise UserError(f"{path}: refers to '{name}' outside of its folder; such files are not opened")
    raise UserError(f"{path}: refers to '{name}', which does not exist")


def utf8_of(content: bytes) -> bytes:
    """A text file's content in UTF-8 without a byte order mark."""
    mark, codec = encoding_of(content)
    text = content[len(mark) :]
    return text if codec == "utf-8" else text.decode(codec, errors="replace").encode()


def encoding_of(content: bytes) -> tuple[bytes, str]:
    """A text file's byte order mark, which may be empty, and what Python calls its encoding.

    What is no UTF-8 is taken for Latin-1, in which every byte is a letter and so comes back as it was.
    """
    marks = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
    for mark, codec in marks:
        if content.startswith(mark):
            return mark, codec
    start = content[:64]
    for first, codec in ((1, "utf-16-le"), (0, "utf-16-be")):  # every other byte of Latin letters is 0
        if len(start) > 3 and not any(start[first::2]) and all(start[1 - first :: 2]):
            return b"", codec
    try:
        content.decode()
    except UnicodeDecodeError:
        return b"", "latin-1"
    return b"", "utf-8"


def unreadable(path: Path, why: str) -> UserError:
    """The error for a file that is broken, or not of the format that its suffix names."""
    said = " ".join(why.split())  # what is quoted of the file may run over several lines
    return UserError(f"{path}: not a readable {path.suffix.removeprefix('.').upper()} file: {said}")


def out_of_range(path: Path, detail: str = "a face names a vertex that the file does not have") -> UserError:
    """The error for a face that names vertices which do not exist."""
    return UserError(f"{path}: face indices out of range: {detail}")

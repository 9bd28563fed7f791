"""Wavefront OBJ: positions, faces and texture coordinates in the file's order.

Why not trimesh's reader: the order of faces and corners is kept, and trimesh takes the faces apart by material, the
last material first, lists triangles before quadrilaterals and cuts concave polygons outside of their outlines. Material
libraries are not opened here.
"""

import re
from array import array
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from geometry.mesh import Mesh
from geometry.mtl_file import library_names
from geometry.polygons import NONE, NOWHERE, Polygons
from geometry.source_file import out_of_range, unreadable, utf8_of

_NAMES = re.compile(rb"\s*(usemtl|mtllib)\s")
_GOES_ON = re.compile(rb"\\(\r\n|\r|\n|$)")


def read_obj(content: bytes, path: Path) -> list[Mesh]:
    """All faces of an OBJ file as one mesh; groups, objects and materials do not divide it.

    A position that faces use with several texture coordinates becomes as many vertices, one after the other.

    Raises:
        UserError: it is no OBJ file, a line is broken, or a face names a vertex that does not exist.
    """
    content = utf8_of(content)
    if b"\0" in content:
        raise unreadable(path, "it holds binary data")
    lines = _Lines(path)
    for number, line in statements(content):
        try:
            lines.take(words_of(line), number)
        except (ValueError, OverflowError) as error:
            said = line[:60].decode(errors="replace").strip()
            raise unreadable(path, f"line {number}: '{said}': {error}") from error
    if not lines.positions:
        raise unreadable(path, "it has no vertices (lines 'v x y z')")
    return [lines.mesh()]


def statements(content: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines of an OBJ file as they stand, line ends included, each with the number of its first line.

    A line that ends in a backslash goes on in the next one; a comment does not.
    """
    waiting, first = b"", 1
    for number, line in enumerate(content.splitlines(keepends=True), start=1):
        first = first if waiting else number
        waiting += line
        if not line.rstrip(b"\r\n").endswith(b"\\") or waiting.lstrip().startswith(b"#"):
            yield first, waiting
            waiting = b""
    if waiting:
        yield first, waiting


def words_of(statement: bytes) -> list[bytes]:
    """The words of a statement without its comment. What names a material or a file has none: "Material #25" is one."""
    joined = _GOES_ON.sub(b" ", statement)
    return joined.split() if _NAMES.match(joined) else joined.partition(b"#")[0].split()


class _Lines:
    """Collects what each line says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.positions, self.places = array("d"), array("d")
        self.corners, self.corner_places, self.n_corners = array("q"), array("q"), array("q")
        self.material, self.materials = b"", dict[bytes, int]()
        self.face_material, self.libraries = array("q"), list[str]()

    def take(self, line: list[bytes], number: int) -> None:
        """One line, word by word.

        Raises:
            ValueError: it is broken.
            UserError: it names a vertex that cannot be.
        """
        match line:
            case [b"v", *numbers]:
                if len(numbers) < 3:
                    raise ValueError("a vertex needs three numbers")
                self.positions.extend(map(float, numbers[:3]))
            case [b"vt", *numbers]:
                self.places.extend(map(float, [*numbers, b"0", b"0"][:2]))
            case [b"f", _, _, _, *_]:
                self._take_face(line[1:], number)
            case [b"usemtl", *name]:
                self.material = b" ".join(name)
            case [b"mtllib", *name]:
                self.libraries += library_names(b" ".join(name))
            case _:
                pass

    def _take_face(self, corners: list[bytes], number: int) -> None:
        n_vertices, n_places = len(self.positions) // 3, len(self.places) // 2
        for corner in corners:
            vertex, _, rest = corner.partition(b"/")
            index = int(vertex)
            # Negative indices count back from the latest vertex.
            index += n_vertices if index < 0 else -1
            if index < 0:
                raise out_of_range(self.path, f"line {number} names vertex {int(vertex)}, OBJ counts from 1")
            self.corners.append(index)
            place = rest.partition(b"/")[0]
            if place:
                index = int(place)
                index += n_places if index < 0 else -1
                self.corner_places.append(index if index >= 0 else NOWHERE)
            else:
                self.corner_places.append(NONE)
        self.n_corners.append(len(corners))
        self.face_material.append(self.materials.setdefault(self.material, len(self.materials)))

    def mesh(self) -> Mesh:
        """All faces as one mesh; those of one material are a part of the file."""
        corner, n_corners, place, material = (
            np.array(numbers, np.int64)
            for numbers in (self.corners, self.n_corners, self.corner_places, self.face_material)
        )
        positions, uv = np.array(self.positions).reshape(-1, 3), np.array(self.places).reshape(-1, 2)
        names = tuple(name.decode(errors="replace") or None for name in self.materials)
        libraries = tuple(self.libraries)
        return Polygons(
            self.path, "obj", positions, corner, n_corners, uv, place, material, names or (None,), libraries
        ).mesh()

"""Wavefront OBJ: positions, faces and texture coordinates in the file's order.

Why not trimesh's reader: the order of faces and corners is kept, and trimesh takes the faces apart by material, the
last material first, lists triangles before quadrilaterals and cuts concave polygons outside of their outlines. Material
libraries are not opened here.
"""

import re
from array import array
from pathlib import Path

import numpy as np

from geometry.mesh import Mesh
from geometry.mtl_file import library_names
from geometry.obj_runs import Run, run_at
from geometry.polygons import NONE, NOWHERE, Polygons
from geometry.source_file import out_of_range, unreadable, utf8_of

_NAMES = re.compile(rb"\s*(usemtl|mtllib)\s")
_STATEMENT = re.compile(rb"(?!\Z)(?:[ \t\v\f]*+\#[^\r\n]*+|(?:[^\\\r\n]++|\\(?:\r\n|\r|\n)?+)*+)(?:\r\n|\r|\n|\Z)")
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
    lines.read(_plain_ends(content))
    del content  # before the faces are put together: it is most of the memory in use
    if not lines.positions:
        raise unreadable(path, "it has no vertices (lines 'v x y z')")
    return [lines.mesh()]


def _plain_ends(content: bytes) -> bytes:
    """The same lines, each ended by a line feed."""
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in content else content


def statements(content: bytes) -> list[bytes]:
    """The lines of an OBJ file as they stand, line ends included.

    A line that ends in a backslash goes on in the next one; a comment does not.
    """
    return [found.group() for found in _STATEMENT.finditer(content)]


def words_of(statement: bytes) -> list[bytes]:
    """The words of a statement without its comment. What names a material or a file has none: "Material #25" is one."""
    joined = _GOES_ON.sub(b" ", statement)
    return joined.split() if _NAMES.match(joined) else joined.partition(b"#")[0].split()


class _Lines:
    """Collects what the lines say."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.positions, self.places = array("d"), array("d")
        self.corners, self.corner_places, self.n_corners = array("q"), array("q"), array("q")
        self.material, self.materials = b"", dict[bytes, int]()
        self.face_material, self.libraries = array("q"), list[str]()

    def read(self, content: bytes) -> None:
        """All lines, each ended by a line feed; plain ones by the ten thousand.

        Raises:
            UserError: a line is broken, or names a vertex that cannot be.
        """
        place, number = 0, 1
        while found := _STATEMENT.match(content, place):
            if run := run_at(content, place):
                self._take_run(run)
                place, number = run.end, number + run.n_lines
                continue
            line = found.group()
            try:
                self.take(words_of(line), number)
            except (ValueError, OverflowError) as error:
                said = line[:60].decode(errors="replace").strip()
                raise unreadable(self.path, f"line {number}: '{said}': {error}") from error
            place, number = place + len(line), number + line.count(b"\n")

    def _take_run(self, run: Run) -> None:
        match run.word:
            case "v":
                self.positions.frombytes(run.numbers[:, :3].tobytes())
            case "vt":
                self.places.frombytes(run.numbers[:, :2].tobytes())
            case "f" | "fn":
                self.corners.frombytes((run.numbers[:, 0] - 1).tobytes())
                has_places = run.word == "f" and run.numbers.shape[1] > 1
                places = run.numbers[:, 1] - 1 if has_places else np.full(len(run.numbers), NONE)
                self.corner_places.frombytes(places.tobytes())
                self.n_corners.frombytes(run.n_corners.tobytes())
                self.face_material.frombytes(np.full(run.n_lines, self._material_number()).tobytes())
            case _:
                pass

    def _material_number(self) -> int:
        return self.materials.setdefault(self.material, len(self.materials))

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
        self.face_material.append(self._material_number())

    def mesh(self) -> Mesh:
        """All faces as one mesh; those of one material are a part of the file."""
        corner, n_corners, place, material = (
            np.asarray(numbers).view(np.int64)  # shares their memory
            for numbers in (self.corners, self.n_corners, self.corner_places, self.face_material)
        )
        positions, uv = np.asarray(self.positions).reshape(-1, 3), np.asarray(self.places).reshape(-1, 2)
        names = tuple(name.decode(errors="replace") or None for name in self.materials)
        libraries = tuple(self.libraries)
        return Polygons(
            self.path, "obj", positions, corner, n_corners, uv, place, material, names or (None,), libraries
        ).mesh()

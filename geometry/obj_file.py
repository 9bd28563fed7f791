"""Wavefront OBJ: positions, faces and texture coordinates in the file's order.

Why not trimesh's reader: it takes the faces apart by material, the last material first, and lists triangles before
quadrilaterals. Material libraries are never opened.
"""

from array import array
from pathlib import Path

import numpy as np
from jaxtyping import Int

from geometry.file_body import BROKEN_UV, NO_UV, SOME_UV, FileBody, fans, out_of_range, unreadable

#: Stands for a corner without a texture coordinate, and for one whose texture coordinate is no number that OBJ counts.
_NONE, _NOWHERE = -1, -2


def read_obj(content: bytes, path: Path) -> FileBody:
    """All faces of an OBJ file as one body; groups, objects and materials do not part it.

    A position that faces use with several texture coordinates becomes as many vertices, one after the other.

    Raises:
        UserError: it is no OBJ file, a line is broken, or a face names a vertex that is not there.
    """
    if b"\0" in content:
        raise unreadable(path, "it holds binary data")
    words = _Words(path)
    # A line goes on after a backslash.
    for number, line in enumerate(content.replace(b"\\\r\n", b" ").replace(b"\\\n", b" ").splitlines(), start=1):
        try:
            words.take(line.partition(b"#")[0].split(), number)
        except (ValueError, OverflowError) as error:
            said = line[:60].decode(errors="replace").strip()
            raise unreadable(path, f"line {number}: '{said}': {error}") from error
    if not words.positions:
        raise unreadable(path, "it has no vertices (lines 'v x y z')")
    return words.body()


class _Words:
    """What the lines so far say."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.positions, self.places = array("d"), array("d")
        self.corners, self.corner_places, self.n_corners = array("q"), array("q"), array("q")
        self.material, self.materials = b"", set[bytes]()

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
            case _:
                pass

    def _take_face(self, corners: list[bytes], number: int) -> None:
        n_vertices, n_places = len(self.positions) // 3, len(self.places) // 2
        for corner in corners:
            vertex, _, rest = corner.partition(b"/")
            index = int(vertex)
            # Below 0 OBJ counts back from the last one so far.
            index += n_vertices if index < 0 else -1
            if index < 0:
                named = f"line {number} names vertex {int(vertex)}, OBJ counts from 1"
                raise out_of_range(self.path, named)
            self.corners.append(index)
            place = rest.partition(b"/")[0]
            if place:
                index = int(place)
                index += n_places if index < 0 else -1
                self.corner_places.append(index if index >= 0 else _NOWHERE)
            else:
                self.corner_places.append(_NONE)
        self.n_corners.append(len(corners))
        self.materials.add(self.material)

    def body(self) -> FileBody:
        """All of it.

        Raises:
            UserError: a face names a vertex that is not there.
        """
        positions = np.array(self.positions).reshape(-1, 3)
        corners, n_corners = np.array(self.corners, np.int64), np.array(self.n_corners, np.int64)
        if corners.max(initial=0) >= len(positions):
            raise out_of_range(self.path)
        triangles = fans(n_corners)
        counts = int((n_corners > 3).sum()), len(self.materials)
        uv, places = np.array(self.places).reshape(-1, 2), np.array(self.corner_places, np.int64)
        fault = _uv_fault(places, len(uv))
        if fault is not None:
            return FileBody(positions, corners[triangles], None, fault, *counts)
        vertex_of, place_of, corners = _told_apart(corners, places, len(positions))
        return FileBody(positions[vertex_of], corners[triangles], uv[place_of], NO_UV, *counts)


def _uv_fault(places: Int[np.ndarray, "corners"], n_places: int) -> str | None:
    """Why the corners' texture coordinates cannot be used."""
    if (places == _NONE).all():
        return NO_UV
    if (places == _NONE).any():
        return SOME_UV
    return BROKEN_UV if places.min() < 0 or places.max() >= n_places else None


def _told_apart(
    corners: Int[np.ndarray, "corners"], places: Int[np.ndarray, "corners"], n_positions: int
) -> tuple[Int[np.ndarray, "vertices"], Int[np.ndarray, "vertices"], Int[np.ndarray, "corners"]]:
    """Vertices as pairs of position and texture coordinate in the order of both, and the pair of each corner.

    Positions that no face uses are kept, with the first texture coordinate.
    """
    unused = np.setdiff1d(np.arange(n_positions), corners)
    n_places = int(places.max()) + 1
    pairs = np.concatenate([corners * n_places + places, unused * n_places])
    pair, number = np.unique(pairs, return_inverse=True)
    return pair // n_places, pair % n_places, number.reshape(-1)[: len(corners)]

"""OFF, the object file format of Geomview, as text: positions and polygons in the file's order.

Why not trimesh's reader: it lists triangles before quadrilaterals, and stumbles over larger polygons.
"""

import re
from pathlib import Path

import numpy as np

from geometry.file_body import FileBody, fans, out_of_range, unreadable

#: Prefixes stand for what follows each position: texture coordinates, colour, normal. The counts may follow at once.
_HEADER = re.compile(rb"(?:\s|#[^\n]*\n)*(?:(?:ST)?C?N?OFF\b|OFF(?=\d))")


def read_off(content: bytes, path: Path) -> FileBody:
    """The polygons of an OFF file.

    Raises:
        UserError: it is no OFF file, is broken, or a face names a vertex that is not there.
    """
    header = _HEADER.match(content)
    if header is None:
        raise unreadable(path, "it does not begin with 'OFF'")
    lines = [words for line in content[header.end() :].splitlines() if (words := line.partition(b"#")[0].split())]
    try:
        return _body(lines, path)
    except (ValueError, OverflowError) as error:
        raise unreadable(path, str(error)) from error


def _body(lines: list[list[bytes]], path: Path) -> FileBody:
    """
    Args:
        lines: the words of each line after the header that has any.

    Raises:
        ValueError: they are broken.
    """
    if not lines or len(lines[0]) < 2:
        raise ValueError("the counts of vertices and faces are missing")
    n_vertices, n_faces = int(lines[0][0]), int(lines[0][1])
    if min(n_vertices, n_faces) < 0 or len(lines) < 1 + n_vertices + n_faces:
        raise ValueError(f"it ends before its {n_vertices} vertices and {n_faces} faces")
    points = lines[1 : 1 + n_vertices]
    if any(len(point) < 3 for point in points):
        raise ValueError("a vertex has fewer than three numbers")
    vertices = np.array([[float(number) for number in point[:3]] for point in points]).reshape(-1, 3)
    polygons = [_polygon(words) for words in lines[1 + n_vertices : 1 + n_vertices + n_faces]]
    polygons = [polygon for polygon in polygons if len(polygon) > 2]  # the others are points and lines
    corners = np.array([corner for polygon in polygons for corner in polygon], dtype=np.int64)
    if len(corners) and (corners.min() < 0 or corners.max() >= len(vertices)):
        raise out_of_range(path)
    n_corners = np.array([len(polygon) for polygon in polygons], dtype=np.int64)
    return FileBody(vertices, corners[fans(n_corners)], n_polygons=int((n_corners > 3).sum()))


def _polygon(words: list[bytes]) -> list[int]:
    """The corners of one face; what follows them is its colour."""
    n_corners = int(words[0])
    if not 0 <= n_corners < len(words):
        said = b" ".join(words)[:60].decode(errors="replace")
        raise ValueError(f"a face has not as many corners as it says: '{said}'")
    return [int(word) for word in words[1 : 1 + n_corners]]

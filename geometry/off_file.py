"""OFF, the object file format of Geomview, as text or binary.

Why not trimesh's reader: it lists triangles before quadrilaterals, stumbles over larger polygons, and reads no binary
OFF.

Source: Geomview's manual, "OFF Files".
"""

import re
from pathlib import Path

import numpy as np

from geometry.mesh import Mesh
from geometry.ply_file import strung
from geometry.polygons import Polygons
from geometry.source_file import unreadable

#: Prefixes stand for what is said of each vertex beside its position. The counts may follow at once.
_HEADER = re.compile(rb"(?:\s|#[^\n]*\n)*(?:(ST)?(C)?(N)?OFF\b|OFF(?=\d))(?:[ \t]+(BINARY)[^\n]*\n)?")
#: Numbers of a vertex that each prefix stands for.
_N_NUMBERS = (2, 4, 3)


def read_off(content: bytes, path: Path) -> list[Mesh]:
    """The polygons of an OFF file; points and lines are left out.

    Raises:
        UserError: it is no OFF file, is broken, or a face names a vertex that does not exist.
    """
    header = _HEADER.match(content)
    if header is None:
        raise unreadable(path, "it does not begin with 'OFF'")
    body = content[header.end() :]
    try:
        if header[4]:
            more = sum(n for prefix, n in zip(header.groups(), _N_NUMBERS, strict=False) if prefix)
            positions, polygons = _binary(body, 3 + more)
        else:
            positions, polygons = _text(body)
    except (ValueError, OverflowError, IndexError) as error:
        raise unreadable(path, str(error)) from error
    corner, n_corners = strung([polygon for polygon in polygons if len(polygon) > 2])
    return [Polygons(path, "off", positions, corner, n_corners).mesh()]


def _text(body: bytes) -> tuple[np.ndarray, list[list[int]]]:
    lines = [words for line in body.splitlines() if (words := line.partition(b"#")[0].split())]
    if not lines or len(lines[0]) < 2:
        raise ValueError("the counts of vertices and faces are missing")
    n_vertices, n_faces = int(lines[0][0]), int(lines[0][1])
    if min(n_vertices, n_faces) < 0 or len(lines) < 1 + n_vertices + n_faces:
        raise ValueError(f"it ends before its {n_vertices} vertices and {n_faces} faces")
    points = lines[1 : 1 + n_vertices]
    if any(len(point) < 3 for point in points):
        raise ValueError("a vertex has fewer than three numbers")
    positions = np.array([[float(number) for number in point[:3]] for point in points]).reshape(-1, 3)
    return positions, [_polygon(words) for words in lines[1 + n_vertices : 1 + n_vertices + n_faces]]


def _polygon(words: list[bytes]) -> list[int]:
    """The corners of one face; what follows them is its colour."""
    n_corners = int(words[0])
    if not 0 <= n_corners < len(words):
        said = b" ".join(words)[:60].decode(errors="replace")
        raise ValueError(f"a face has not as many corners as it says: '{said}'")
    return [int(word) for word in words[1 : 1 + n_corners]]


def _binary(body: bytes, width: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Big-endian words of four bytes: counts of vertices, faces and edges; vertices; of each face its corners and the
    numbers of its colour, each list with its length before it."""
    whole = np.frombuffer(body[: len(body) // 4 * 4], ">i4")
    if len(whole) < 3:
        raise ValueError("the counts of vertices and faces are missing")
    n_vertices, n_faces, _ = (int(count) for count in whole[:3])
    at = 3 + n_vertices * width
    if min(n_vertices, n_faces) < 0 or len(whole) < at + 2 * n_faces:
        raise ValueError(f"it ends before its {n_vertices} vertices and {n_faces} faces")
    positions = whole[3:at].view(">f4").reshape(n_vertices, width)[:, :3].astype(np.float64)
    polygons = list[np.ndarray]()
    for _ in range(n_faces):
        n_corners = int(whole[at])
        n_colours = int(whole[at + 1 + n_corners]) if n_corners >= 0 else -1
        if min(n_corners, n_colours) < 0 or at + 2 + n_corners + n_colours > len(whole):
            raise ValueError("a face has not as many corners as it says")
        polygons.append(whole[at + 1 : at + 1 + n_corners].astype(np.int64))
        at += 2 + n_corners + n_colours
    return positions, polygons

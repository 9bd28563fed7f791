"""PLY: polygons and triangle strips, with texture coordinates at the vertices or at the faces' corners.

Read by plyfile, and not by trimesh as other formats: a painted file keeps all of the user's other properties and the
digits of its numbers (exporters/ply_in_place.py), for which the file's own elements have to be at hand.

Source: Turk, The PLY Polygon File Format (1994); strips as in the scans of Stanford's archive.
"""

import io
import os
import re
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from geometry.mesh import Mesh
from geometry.polygons import Polygons
from geometry.source_file import unreadable

#: Names of texture coordinates at the vertices.
UV_NAMES = (("texture_u", "texture_v"), ("u", "v"), ("s", "t"))
#: Names of the list of a face's corners, and of the list of their texture coordinates.
CORNERS, WEDGES = ("vertex_indices", "vertex_index"), "texcoord"
STRIPS = "tristrips"
PICTURE = re.compile(r"TextureFile\s+(.+?)\s*")
_ELEMENT = re.compile(rb"^element[ \t]+\S+[ \t]+(-?\d+)", re.MULTILINE)


def parsed_ply(content: bytes, path: Path, may_map: bool = False) -> Any:
    """The file as `plyfile.PlyData`.

    Args:
        may_map: whether lists of one length may come as a table.

    Raises:
        UserError: it is no PLY file, or is broken.
    """
    from plyfile import PlyData

    header = content[: content.find(b"end_header")]
    # plyfile makes room for what a header announces before it looks for it; the least row has one byte.
    if any(not 0 <= int(count[:20]) <= len(content) for count in _ELEMENT.findall(header)):
        raise unreadable(path, f"its header announces more than its {len(content):,} bytes can hold")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # numpy's, of an empty list in a text file
            return (_of_triangles(content) if may_map else None) or PlyData.read(io.BytesIO(content))
    except Exception as error:  # plyfile raises whatever its parsing ran into
        raise unreadable(path, str(error) or type(error).__name__) from error


def _of_triangles(content: bytes) -> Any:
    """The file, where it is binary and all faces are triangles: plyfile maps those, and reads others one by one.

    None for another file, and where the system has no files in memory alone.
    """
    from plyfile import PlyData, PlyParseError

    header = content[: content.find(b"end_header")]
    if sys.platform != "linux" or b"format binary" not in header or STRIPS.encode() in header:
        return None
    with os.fdopen(os.memfd_create("ply"), "w+b") as file:
        file.write(content)
        file.seek(0)
        try:
            return PlyData.read(file, known_list_len={"face": {**dict.fromkeys(CORNERS, 3), WEDGES: 6}})
        except PlyParseError:
            return None


def read_ply(content: bytes, path: Path) -> list[Mesh]:
    """All polygons of a PLY file as one mesh; those of one picture are a part of it.

    Raises:
        UserError: it is no PLY file, is broken, or a face names a vertex that does not exist.
    """
    ply = parsed_ply(content, path, may_map=True)
    try:
        return [_polygons(ply, path).mesh()]
    except (KeyError, ValueError, TypeError, IndexError, OverflowError) as error:
        raise unreadable(path, str(error) or type(error).__name__) from error


def _polygons(ply: Any, path: Path) -> Polygons:
    vertices, faces = ply["vertex"].data, ply["face"].data if "face" in ply else {}
    positions = np.stack([vertices[axis] for axis in "xyz"], axis=-1).astype(np.float64)
    outlines = next((faces[name] for name in CORNERS if name in columns(faces)), np.zeros(0, object))
    named = tuple(found[1] for line in ply.comments if (found := PICTURE.fullmatch(line)))
    large = np.full(len(outlines), True) if outlines.ndim == 2 else np.array([len(each) > 2 for each in outlines], bool)
    corner, n_corners = strung(outlines[large])
    uv, place, material = None, None, None
    if WEDGES in columns(faces):
        wedges = faces[WEDGES][large]
        wedges = wedges.reshape(-1) if wedges.ndim == 2 else np.concatenate([*wedges, np.zeros(0)])
        uv, place = wedges.astype(np.float64).reshape(-1, 2), np.arange(len(corner))
    if uv is None or not len(uv) or len(uv) != len(corner):
        pair = uv_names(vertices)
        uv, place = np.stack([vertices[name] for name in pair], axis=-1) if pair else None, None
    if "texnumber" in columns(faces) and len(named) > 1:
        material = np.asarray(faces["texnumber"], np.int64)[large].clip(0, len(named) - 1)
    if STRIPS in ply:
        triangles = strip_triangles(ply)
        corner = np.concatenate([corner, triangles.reshape(-1)])
        n_corners = np.concatenate([n_corners, np.full(len(triangles), 3)])
        material, place = None, None if place is None else np.pad(place, (0, triangles.size), constant_values=-1)
    materials = (None,) if material is None else named
    return Polygons(path, "ply", positions, corner, n_corners, uv, place, material, materials, named)


def columns(table: Any) -> tuple[str, ...]:
    """The names of a structured array's columns."""
    return table.dtype.names or () if isinstance(table, np.ndarray) else ()


def uv_names(vertices: Any) -> tuple[str, ...]:
    """How a file calls its vertices' texture coordinates; empty where it has none."""
    return next((pair for pair in UV_NAMES if {*pair} <= {*columns(vertices)}), ())


def strung(polygons: Sequence[Any] | np.ndarray) -> tuple[Int[np.ndarray, "corners"], Int[np.ndarray, "polygons"]]:
    """The corners of all polygons in one list, and how many each polygon has."""
    if isinstance(polygons, np.ndarray) and polygons.ndim == 2:
        return polygons.reshape(-1).astype(np.int64), np.full(len(polygons), polygons.shape[1])
    n_corners = np.array([len(polygon) for polygon in polygons], np.int64)
    return np.concatenate([*polygons, np.zeros(0)]).astype(np.int64), n_corners


def strip_triangles(ply: Any) -> Int[np.ndarray, "triangles 3"]:
    """The triangles of strips, which -1 ends; every second one is turned over, and those without area are left out."""
    found = [np.zeros((0, 3), np.int64)]
    for strip in ply[STRIPS].data[CORNERS[0]]:
        corners = np.asarray(strip, np.int64)
        first = np.arange(max(0, len(corners) - 2))
        begin = np.concatenate([[0], np.flatnonzero(corners == -1) + 1])  # of the strip that each corner is in
        odd = (first - begin[np.searchsorted(begin, first, side="right") - 1]) % 2
        found.append(corners[np.stack([first, first + 1 + odd, first + 2 - odd], axis=-1)])
    triangles = np.concatenate(found)
    a, b, c = triangles.T
    return triangles[(triangles != -1).all(axis=1) & (a != b) & (b != c) & (c != a)]

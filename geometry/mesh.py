"""The mesh record: what is read from a file, drawn from a field, unwrapped, painted, baked and written.

UV: a place in the texture; u counts to the right. Beyond [0, 1] the texture repeats.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int, UInt8

from core.errors import UserError
from geometry.source_file import NO_UV, SOME_UV, SourceFile

#: Faces whose area is a smaller share of their longest edges' squares are lines: float32 does not place them better.
_THINNEST = 1e-6
#: How many faces are measured at once, so that millions of them take no memory of their own.
_AT_ONCE = 2**16


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh. Parts may overlap, and surfaces may be open; what a mesh does not have is None."""

    vertices: Float[np.ndarray, "vertices 3"]
    """float64 where they come from a file, in its world coordinates; float32 where they come from a field."""
    faces: Int[np.ndarray, "faces 3"]
    """int64, counter-clockwise seen from outside, as far as a file keeps that."""
    normals: Float[np.ndarray, "vertices 3"] | None = None
    """Outward, of unit length."""
    uv: Float[np.ndarray, "vertices 2"] | None = None
    """float32, as the file has them: see v_down; NaN at vertices of faces that have none, where others have some."""
    v_down: bool = False
    """Whether v counts from the top of the texture, as in glTF, or from its bottom, as in all other formats. Texture
    coordinates are kept as they came, since 1 - v is rounded."""
    colours: Float[np.ndarray, "vertices 3"] | None = None
    """sRGB in [0, 1], as pictures have them."""
    texture: UInt8[np.ndarray, "rows columns 3"] | None = None
    """sRGB bytes, row 0 on top."""
    source: SourceFile | None = None
    """The file that it was read from, if any; its arrays have a row for each face."""

    @property
    def file(self) -> SourceFile:
        """The file that it was read from.

        Raises:
            ValueError: it was made, not read.
        """
        if self.source is None:
            raise ValueError("this mesh comes from no file")
        return self.source

    def uv_with(self, v_down: bool) -> Float[np.ndarray, "vertices 2"]:
        """Texture coordinates with v counted from the top (down) or from the bottom (up).

        Returns:
            Those that the mesh has, float32, or, where v has to be turned over, u and 1 - v as float64.

        Raises:
            ValueError: the mesh has none.
        """
        if self.uv is None:
            raise ValueError("the mesh has no texture coordinates")
        return self.uv if v_down == self.v_down else self.uv.astype(np.float64) * [1, -1] + [0, 1]

    @property
    def corner_uv(self) -> Float[np.ndarray, "faces 3 2"] | None:
        """Of each face's corners, float64, v from the bottom."""
        return None if self.uv is None else self.uv_with(v_down=False).astype(np.float64)[self.faces]

    @property
    def corners(self) -> Float[np.ndarray, "faces 3 3"]:
        """Positions of each face's corners, float64."""
        return self.vertices[self.faces].astype(np.float64)

    @cached_property
    def position(self) -> Int[np.ndarray, "vertices"]:
        """For each vertex a number that is the same for all vertices in the same place."""
        return np.unique(self.vertices, axis=0, return_inverse=True)[1].reshape(-1)

    def with_vertices(self, index: Int[np.ndarray, "new"], faces: Int[np.ndarray, "faces 3"]) -> "Mesh":
        """The same faces over other vertices, which keep their normals, texture coordinates and colours.

        Args:
            index: for each new vertex the one of this mesh that it is; a vertex may come twice, or be left out.
            faces: this mesh's faces by the new numbers.
        """
        given = {name: getattr(self, name) for name in ("vertices", "normals", "uv", "colours")}
        picked = {name: values[index] for name, values in given.items() if values is not None}
        return dataclasses.replace(self, faces=faces, **picked)

    def with_faces(self, faces: Int[np.ndarray, "left 3"]) -> "Mesh":
        """The mesh with these faces instead. Vertices that no face uses are left out, the others keep their order; the
        source is dropped, since its arrays belong to the old faces."""
        used, number = np.unique(faces, return_inverse=True)
        fresh = dataclasses.replace(self, source=None)
        return fresh.with_vertices(used, number.reshape(-1, 3).astype(np.int64))

    def merged(self) -> "Mesh":
        """The same surface with one vertex for each position; faces that have lost a corner by that are left out.

        Formats such as STL give each face its own three vertices; where surfaces hang together is seen only now.
        """
        positions, index = np.unique(self.vertices, axis=0, return_inverse=True)
        faces = index.reshape(-1)[self.faces]
        a, b, c = faces.T
        return Mesh(positions, faces[(a != b) & (b != c) & (c != a)])


def joined(parts: Sequence[Mesh]) -> Mesh:
    """Parts of one file as one mesh, in their order; at least one, each with its source."""
    if len(parts) == 1:
        return parts[0]
    sources = [part.file for part in parts]
    first_vertex = _starts([len(part.vertices) for part in parts])
    polygons = [int(source.polygon.max(initial=-1)) + 1 for source in sources]
    known = [part.uv for part in parts if part.uv is not None]
    reasons = {part.file.without_uv for part in parts if part.uv is None}
    corners = [one.corner for one in sources]
    some = (reasons == {NO_UV} and bool(known)) or SOME_UV in {one.without_uv for one in sources}
    source = dataclasses.replace(
        sources[0],
        polygon=np.concatenate([one.polygon + start for one, start in zip(sources, _starts(polygons), strict=True)]),
        part=np.concatenate(
            [one.part + i for one, i in zip(sources, _starts([len(one.materials) for one in sources]), strict=True)]
        ),
        materials=tuple(material for one in sources for material in one.materials),
        primitives=tuple(key for one in sources for key in one.primitives),
        corner=None if any(c is None for c in corners) else np.concatenate(corners),  # pyright: ignore
        without_uv=SOME_UV if some else max(reasons, default=NO_UV),
    )
    return Mesh(
        np.concatenate([part.vertices for part in parts]),
        np.concatenate([part.faces + start for part, start in zip(parts, first_vertex, strict=True)]),
        uv=np.concatenate([_uv_or_nan(part) for part in parts]) if known else None,
        v_down=parts[0].v_down,
        source=source,
    )


def _uv_or_nan(part: Mesh) -> Float[np.ndarray, "vertices 2"]:
    return np.full((len(part.vertices), 2), np.nan, np.float32) if part.uv is None else part.uv


def _starts(sizes: Sequence[int]) -> Int[np.ndarray, "parts"]:
    return np.cumsum([0, *sizes[:-1]])


def area_vectors(corners: Float[np.ndarray, "faces 3 3"]) -> Float[np.ndarray, "faces 3"]:
    """Each triangle's normal, as long as twice its area."""
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def face_normals(corners: Float[np.ndarray, "faces 3 3"]) -> Float[np.ndarray, "faces 3"]:
    """Each triangle's unit normal; 0 where it has no area."""
    vectors = area_vectors(corners)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.finfo(float).tiny)


def signed_volumes(corners: Float[np.ndarray, "faces 3 3"]) -> Float[np.ndarray, "faces"]:
    """Volume between each triangle and the origin, a . (b x c) / 6, below 0 where the triangle faces the origin.

    By the divergence theorem, those of a closed surface sum to the volume that it encloses.
    """
    a, b, c = corners.transpose(1, 0, 2)
    return np.einsum("ij,ij->i", a, np.cross(b, c)) / 6


def check_surface(mesh: Mesh, path: Path) -> None:
    """Refuse a mesh that has no usable surface in float32, after it has been centred.

    Raises:
        UserError: coordinates that are not finite or too large, all of them the same, or all faces without area.
    """
    used = np.zeros(len(mesh.vertices), bool)
    used[mesh.faces] = True
    points = mesh.vertices[used]
    if not np.isfinite(points).all():
        n_bad = int((~np.isfinite(points)).any(axis=1).sum())
        raise UserError(f"{path}: {n_bad} vertices are not finite (NaN or infinity); repair the mesh where it was made")
    least, most = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
    if (largest := float(np.abs(points).max())) > most:
        raise UserError(f"{path}: coordinates up to {largest:.3g}, at most {most:.2g} can be held; scale it down")
    points = (points - (points.min(axis=0) / 2 + points.max(axis=0) / 2)).astype(np.float32).astype(np.float64)
    if np.ptp(points, axis=0).max() < least:
        raise UserError(f"{path}: zero extent: all of its vertices lie in one point, as float32 holds them")
    area = longest = 0.0
    number = np.cumsum(used) - 1
    for start in range(0, len(mesh.faces), _AT_ONCE):
        corners = points[number[mesh.faces[start : start + _AT_ONCE]]]
        longest += ((corners - np.roll(corners, 1, axis=1)) ** 2).sum(axis=-1).max(axis=-1).sum()
        area += np.linalg.norm(area_vectors(corners), axis=-1).sum() / 2
    if area <= _THINNEST * longest:
        raise UserError(f"{path}: zero area: its faces are lines or points; give it faces with three corners apart")

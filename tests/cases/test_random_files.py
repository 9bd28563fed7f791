"""Random small OBJ, PLY, STL and OFF files, and damaged ones: right numbers, or one line; never more time or memory.

The truth of a whole file is what its builder wrote down: flat parallelograms and triangles, whose area is the length of
a cross product, and the bounds of the corners that faces use. Each is painted too, and read again. Damaged files may
mean anything, but end in a mesh or in a UserError, soon, and within a gigabyte.
"""

import struct
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from exporters.painted_files import PaintedTexture, write_painted
from geometry.mesh import Mesh
from geometry.mesh_file import read_mesh
from tests.cases.gltf_by_chance import gltf_files
from tests.cases.test_obj import area
from tests.geometry.small_meshes import written

hypothesis = pytest.importorskip("hypothesis", reason="random files are built by hypothesis (requirements-dev.txt)")
st = hypothesis.strategies

#: Seconds and bytes that no file of a few hundred bytes may take; machines may be busy.
LONGEST_S, MOST_BYTES = 30.0, 2**30
SETTINGS = hypothesis.settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)


@dataclass(frozen=True)
class Figure:
    """Faces of three corners, or of four that are a parallelogram; whole numbers, so that every format holds them."""

    faces: tuple[tuple[tuple[int, int, int], ...], ...]

    @property
    def area(self) -> float:
        return sum(
            float(np.linalg.norm(np.cross(np.subtract(face[1], face[0]), np.subtract(face[-1], face[0]))))
            / (2 if len(face) == 3 else 1)
            for face in self.faces
        )

    @property
    def points(self) -> list[tuple[int, int, int]]:
        return [corner for face in self.faces for corner in face]


@st.composite
def figures(draw: Callable) -> Figure:
    number = st.integers(-50, 50)
    faces = []
    for _ in range(draw(st.integers(1, 6))):
        a, u, v = (np.array(draw(st.tuples(number, number, number))) for _ in range(3))
        hypothesis.assume(np.linalg.norm(np.cross(u, v)) > 0.5)
        corners = [a, a + u, a + u + v, a + v] if draw(st.booleans()) else [a, a + u, a + v]
        faces.append(tuple(tuple(int(x) for x in corner) for corner in corners))
    return Figure(tuple(faces))


def obj(figure: Figure, draw: Callable) -> bytes:
    """Positions once or again, before their face or all before; counted from the front or the back."""
    lines, n, end = ["# by chance", "o one"], 0, draw(st.sampled_from(["\n", "\r\n"]))
    for face in figure.faces:
        lines += [f"v {x}.0 {y:+d} {z}e0" for x, y, z in face]
        n += len(face)
        backwards = draw(st.booleans())
        corners = [str(i - len(face) if backwards else n - len(face) + i + 1) for i in range(len(face))]
        lines.append(
            f"f {draw(st.sampled_from([' ', '  ', chr(9), f' {chr(92)}{end}']))}".rstrip(" ") + " " + " ".join(corners)
        )
    return end.join([*lines, ""]).encode()


def ply(figure: Figure, draw: Callable) -> bytes:
    kind = draw(st.sampled_from(["ascii", "binary_little_endian", "binary_big_endian"]))
    number = draw(st.sampled_from(["float", "double", "int", "short"]))
    axes = "".join(f"property {number} {axis}\n" for axis in "xyz")
    head = f"ply\nformat {kind} 1.0\nelement vertex {len(figure.points)}\n{axes}"
    head += f"element face {len(figure.faces)}\nproperty list uchar uint vertex_index\nend_header\n"
    starts = np.cumsum([0, *(len(face) for face in figure.faces)])
    faces = [list(range(start, start + len(face))) for start, face in zip(starts, figure.faces, strict=False)]
    if kind == "ascii":
        rows = [" ".join(map(str, point)) for point in figure.points]
        rows += [" ".join(map(str, (len(face), *face))) for face in faces]
        return (head + "\n".join(rows) + "\n").replace("\n", draw(st.sampled_from(["\n", "\r\n", "\r"]))).encode()
    mark, code = "<" if "little" in kind else ">", {"float": "f", "double": "d", "int": "i", "short": "h"}[number]
    body = b"".join(struct.pack(f"{mark}3{code}", *point) for point in figure.points)
    return head.encode() + body + b"".join(struct.pack(f"{mark}B{len(face)}I", len(face), *face) for face in faces)


def stl(figure: Figure, draw: Callable) -> bytes:
    cut = [part for face in figure.faces for part in ([face] if len(face) == 3 else [face[:3], (face[0], *face[2:])])]
    if draw(st.booleans()):
        loops = ["".join(f"vertex {x} {y} {z}\n" for x, y, z in part) for part in cut]
        facets = "".join(f"facet normal 0 0 0\nouter loop\n{loop}endloop\nendfacet\n" for loop in loops)
        return f"solid by chance\n{facets}endsolid by chance\n".encode()
    packed = b"".join(struct.pack("<12fH", 0, 0, 0, *np.ravel(part), 0) for part in cut)
    return bytes(80) + struct.pack("<I", len(cut)) + packed + draw(st.binary(max_size=9))


def off(figure: Figure, draw: Callable) -> bytes:
    starts = np.cumsum([0, *(len(face) for face in figure.faces)])
    faces = [list(range(start, start + len(face))) for start, face in zip(starts, figure.faces, strict=False)]
    counts = (len(figure.points), len(faces), 0)
    if draw(st.booleans()):
        content = b"OFF BINARY\n" + struct.pack(">3i", *counts) + np.array(figure.points, ">f4").tobytes()
        return content + b"".join(struct.pack(f">{len(face) + 2}i", len(face), *face, 0) for face in faces)
    rows = [" ".join(map(str, point)) for point in figure.points]
    rows += [" ".join(map(str, (len(face), *face))) for face in faces]
    return ("\n".join(["OFF", " ".join(map(str, counts)), *rows]) + "\n").encode()


BUILDERS = {"obj": obj, "ply": ply, "stl": stl, "off": off}


@pytest.mark.parametrize("kind", BUILDERS)
def test_whole_files_have_the_area_and_the_bounds_that_were_written(kind: str, tmp_path: Path):
    @SETTINGS
    @hypothesis.given(st.data())
    def check(data: Any) -> None:
        figure = data.draw(figures())
        mesh = read_mesh(written(tmp_path, f"a.{kind}", BUILDERS[kind](figure, data.draw)))
        points = np.array(figure.points)
        assert area(mesh) == pytest.approx(figure.area, rel=1e-6)
        assert mesh.corners.reshape(-1, 3).min(axis=0).tolist() == points.min(axis=0).tolist()
        assert mesh.corners.reshape(-1, 3).max(axis=0).tolist() == points.max(axis=0).tolist()
        assert len(mesh.faces) == sum(len(face) - 2 for face in figure.faces)
        check_painted(tmp_path, mesh)

    check()


def check_painted(folder: Path, mesh: Mesh) -> None:
    """The file with a picture on a new atlas, read again: the same triangles, where the atlas has them."""
    new_uv = np.random.default_rng(0).random((len(mesh.faces), 3, 2)).astype(np.float32).astype(float)
    texture = PaintedTexture(np.zeros((4, 4, 3), np.uint8), np.arange(len(mesh.faces)), (None,), new_uv)
    name = f"mesh.{mesh.file.kind}" if mesh.file.kind in ("obj", "ply") else "mesh.glb"
    (path, *_), _ = write_painted(folder / name, mesh, [texture], {})
    back = read_mesh(path)
    np.testing.assert_array_equal(back.corners, mesh.corners)
    assert back.corner_uv is not None
    np.testing.assert_allclose(back.corner_uv, new_uv, atol=2**-24)


def damaged(content: bytes, draw: Callable) -> bytes:
    """Cut off, with bits turned over, or with a number in it made huge."""
    where = draw(st.integers(0, max(0, len(content) - 1)))
    match draw(st.sampled_from(["cut", "flip", "huge", "repeat"])):
        case "cut":
            return content[:where]
        case "flip":
            return content[:where] + bytes([content[where] ^ draw(st.integers(1, 255))]) + content[where + 1 :]
        case "huge":
            number = draw(st.sampled_from([b"99999999999", b"-1", b"\xff\xff\xff\x7f", b"1e999", b"nan"]))
            return content[:where] + number + content[where + 4 :]
        case _:
            return content[:where] + content[where // 2 :]


@pytest.mark.parametrize("kind", [*BUILDERS, "glb"])
def test_damaged_files_end_in_a_mesh_or_in_one_line(kind: str, tmp_path: Path):
    @SETTINGS
    @hypothesis.given(st.data())
    def check(data: Any) -> None:
        whole = data.draw(gltf_files()) if kind == "glb" else BUILDERS[kind](data.draw(figures()), data.draw)
        path = written(tmp_path, f"a.{kind}", damaged(whole, data.draw))
        start = time.monotonic()
        tracemalloc.start()
        mesh, told = None, ""
        try:
            mesh = read_mesh(path)
        except UserError as error:
            told = str(error)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        if mesh is None:
            assert told.startswith(str(path))
            assert "\n" not in told
        else:
            assert np.isfinite(mesh.corners).all()
            assert mesh.faces.max() < len(mesh.vertices)
        assert peak < MOST_BYTES
        assert time.monotonic() - start < LONGEST_S

    check()

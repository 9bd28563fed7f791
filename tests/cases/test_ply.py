"""PLY files as people bring them, written by hand, with what is right about each."""

import struct
from pathlib import Path

import pytest

from core.errors import UserError
from geometry.mesh import area_vectors
from geometry.mesh_file import read_mesh
from tests.cases.test_obj import area
from tests.geometry.small_meshes import written

GRID = [(x, y, 0) for y in (0, 1) for x in (0, 1, 2)]
STRIP = "element tristrips 1\nproperty list int int vertex_indices\n"


def header(kind: str, n_vertices: int, rest: str, number: str = "float") -> str:
    axes = "".join(f"property {number} {axis}\n" for axis in "xyz")
    return f"ply\nformat {kind} 1.0\nelement vertex {n_vertices}\n{axes}{rest}end_header\n"


def lines(points: list[tuple[int, int, int]] = GRID) -> str:
    return "".join(f"{x} {y} {z}\n" for x, y, z in points)


def test_a_triangle_strip_turns_every_second_triangle(tmp_path: Path):
    """0-1-2 below, 3-4-5 above: two squares, then another strip of one triangle after -1."""
    text = header("ascii", 6, STRIP) + lines() + "10 0 3 1 4 2 5 -1 0 1 3\n"
    mesh = read_mesh(written(tmp_path, "a.ply", text))
    assert [sorted(face) for face in mesh.faces.tolist()] == [[0, 1, 3], [1, 3, 4], [1, 2, 4], [2, 4, 5], [0, 1, 3]]
    assert (area_vectors(mesh.corners)[:4, 2] < 0).all(), "they all turn as the first does"
    assert area_vectors(mesh.corners)[4, 2] > 0, "and a strip begins anew after -1"
    assert area(mesh) == pytest.approx(2.5)


def test_strips_may_repeat_a_corner_to_join(tmp_path: Path):
    binary = struct.pack("<18f", *(number for point in GRID for number in point))
    strip = struct.pack("<i8i", 8, 0, 1, 3, 3, 1, 1, 4, 2)
    content = header("binary_little_endian", 6, STRIP).encode() + binary + strip
    mesh = read_mesh(written(tmp_path, "a.ply", content))
    assert [sorted(face) for face in mesh.faces.tolist()] == [[0, 1, 3], [1, 2, 4]]


@pytest.mark.parametrize(("kind", "mark"), [("binary_little_endian", "<"), ("binary_big_endian", ">")])
def test_binary_polygons_of_several_sizes_of_either_order(tmp_path: Path, kind: str, mark: str):
    rest = "property uchar red\nelement face 3\nproperty uchar flag\nproperty list ushort uint vertex_index\n"
    points = [(0.0, 0, 0), (3, 0, 0), (3, 1, 0), (1, 1, 0), (1, 3, 0), (0, 3, 0), (0, 0, 1)]
    content = header(kind, 7, rest, "double").encode()
    content += b"".join(struct.pack(f"{mark}3dB", *point, 9) for point in points)
    for face in ((0, 1, 6), (0, 1, 2, 3, 4, 5), (0, 6, 5)):
        content += struct.pack(f"{mark}BH{len(face)}I", 1, len(face), *face)
    mesh = read_mesh(written(tmp_path, "a.ply", content))
    assert area(mesh) == pytest.approx(1.5 + 5 + 1.5), "the L has an area of 5"
    assert mesh.file.polygon.tolist() == [0, 1, 1, 1, 1, 2]


@pytest.mark.parametrize("count", ["99999999999", "-1", "9" * 400])
@pytest.mark.parametrize("kind", ["ascii", "binary_little_endian"])
def test_a_count_that_the_file_cannot_hold_is_told_at_once(tmp_path: Path, count: str, kind: str):
    face = f"element face {count}\nproperty list uchar int vertex_indices\n"
    for text in (header(kind, 6, face) + lines(), header(kind, 6, "").replace("vertex 6", f"vertex {count}")):
        with pytest.raises(UserError, match=r"its header announces more than its [\d,]+ bytes can hold"):
            read_mesh(written(tmp_path, "a.ply", text))

"""STL and OFF files as people bring them, written by hand, with what is right about each."""

import logging
import struct
from pathlib import Path

import numpy as np
import pytest

from geometry.mesh_file import read_mesh
from tests.cases.test_obj import area
from tests.geometry.small_meshes import written

TRIANGLE = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0)


@pytest.mark.parametrize("start", [b"made by hand", b"solid that is binary all the same"])
@pytest.mark.parametrize("trailing", [b"\0", b"\n\n", b"a note of the program " * 9])
def test_what_follows_an_stls_triangles_is_left_out(
    tmp_path: Path, start: bytes, trailing: bytes, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    path = written(tmp_path, "a.stl", start.ljust(80) + struct.pack("<I", 2) + 2 * TRIANGLE + trailing)
    mesh = read_mesh(path)
    assert area(mesh) == 6
    assert mesh.vertices.max(axis=0).tolist() == [2, 3, 0]
    assert f"{path}: {len(trailing)} bytes behind its triangles are left out" in caplog.text


def binary_off(prefix: str, width: int, faces: list[tuple[int, ...]], colour: tuple[float, ...]) -> bytes:
    points = np.zeros((6, width), ">f4")
    points[:, :3] = [(0, 0, 0), (3, 0, 0), (3, 1, 0), (1, 1, 0), (1, 3, 0), (0, 3, 0)]
    content = f"{prefix}OFF BINARY\n".encode() + struct.pack(">3i", 6, len(faces), 0) + points.tobytes()
    for face in faces:
        content += struct.pack(f">i{len(face)}i", len(face), *face)
        content += struct.pack(f">i{len(colour)}f", len(colour), *colour)
    return content


@pytest.mark.parametrize(("prefix", "width"), [("", 3), ("C", 7), ("N", 6), ("STCN", 12)])
@pytest.mark.parametrize("colour", [(), (0.5, 0.5, 0.5, 1.0)])
def test_binary_off_is_read(tmp_path: Path, prefix: str, width: int, colour: tuple[float, ...]):
    content = binary_off(prefix, width, [(0, 1, 2, 3, 4, 5), (0, 1), (0, 5, 4)], colour)
    mesh = read_mesh(written(tmp_path, "a.off", content))
    assert area(mesh) == pytest.approx(5 + 1.5), "an L and a triangle; a line is none"

"""Binary PLY files whose faces are all triangles are mapped at once, and say the same as read one by one."""

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import plyfile
import pytest

from geometry.ply_file import parsed_ply, read_ply

RNG = np.random.default_rng(0)


def written(sizes: list[int], wedges: bool, byte_order: str) -> bytes:
    """A file with faces of so many corners each; with texture coordinates at the corners and two pictures, or not."""
    vertices = np.zeros(8, [(axis, "f4") for axis in "xyz"])
    for axis in "xyz":
        vertices[axis] = RNG.random(8)
    kinds: list[Any] = [("vertex_indices", "O"), *([("texcoord", "O"), ("texnumber", "i4")] if wedges else [])]
    faces = np.zeros(len(sizes), kinds)
    for i, size in enumerate(sizes):
        faces["vertex_indices"][i] = RNG.permutation(8)[:size].astype("i4")
        if wedges:
            faces["texcoord"][i], faces["texnumber"][i] = RNG.random(2 * size).astype("f4"), i % 2
    elements = [plyfile.PlyElement.describe(vertices, "vertex"), plyfile.PlyElement.describe(faces, "face")]
    comments = ["TextureFile a.png", "TextureFile b.png"] if wedges else []
    file = io.BytesIO()
    plyfile.PlyData(elements, byte_order=byte_order, comments=comments).write(file)
    return file.getvalue()


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("wedges", [False, True])
@pytest.mark.parametrize("sizes", [[3] * 20, [3, 3, 4, 3], [2, 3], []])
def test_what_is_mapped_is_what_is_read(
    sizes: list[int], wedges: bool, byte_order: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content, path = written(sizes, wedges, byte_order), tmp_path / "mesh.ply"

    def arrays() -> list[Any]:
        (mesh,) = read_ply(content, path)
        return [mesh.vertices, mesh.faces, mesh.uv]

    at_once = arrays()
    monkeypatch.setattr("geometry.ply_file._of_triangles", lambda content: None)
    for one, other in zip(at_once, arrays(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.skipif(sys.platform != "linux", reason="files in memory alone are Linux's")
def test_triangles_come_as_a_table(tmp_path: Path) -> None:
    faces = parsed_ply(written([3] * 5, True, "<"), tmp_path, may_map=True)["face"].data
    assert faces["vertex_indices"].shape == (5, 3)
    assert faces["texcoord"].shape == (5, 6)

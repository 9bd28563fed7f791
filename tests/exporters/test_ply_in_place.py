"""The user's PLY with its picture exchanged: other elements, properties and digits stay."""

import struct
from pathlib import Path

import numpy as np
import pytest

from exporters.new_places import NewPlaces
from exporters.ply_in_place import painted_ply
from geometry.mesh_file import read_mesh
from geometry.ply_file import parsed_ply
from tests.exporters.test_obj_in_place import changed, placed
from tests.geometry.small_meshes import written

TEXT = """ply
format ascii 1.0
comment made by hand
comment TextureFile old.png
obj_info a scan
element vertex 6
property double x
property double y
property float z
property uchar red
property float s
property float t
element face 3
property uchar flag
property list uchar int vertex_indices
property float quality
element edge 1
property int vertex1
property int vertex2
end_header
0.10 0 0 255 0 0
1e0 0 0 254 1 0
1 1 0 253 1 1
0 1 0 252 0 1
2 0 0 251 0 0
2 1 0 250 1 1
7 4 0 1 2 3 0.50
8 2 0 1 0.25
9 4 1 4 5 2 0.75
0 1
"""


def binary(order: str) -> bytes:
    mark = "<" if order == "little" else ">"
    head, _, body = TEXT.replace("ascii", f"binary_{order}_endian").partition("end_header\n")
    content = (head + "end_header\n").encode()
    for line in body.splitlines():
        numbers = line.split()
        if len(numbers) == 6:
            content += struct.pack(f"{mark}ddfBff", *map(float, numbers[:3]), int(numbers[3]), *map(float, numbers[4:]))
        elif len(numbers) == 2:
            content += struct.pack(f"{mark}ii", *map(int, numbers))
        else:
            whole = [int(number) for number in numbers[:-1]]
            content += struct.pack(f"{mark}BB{len(whole) - 2}if", *whole, float(numbers[-1]))
    return content


@pytest.mark.parametrize("content", [TEXT.encode(), binary("little"), TEXT.replace("\n", "\r\n").encode()])
def test_with_its_own_coordinates_only_the_picture_changes(content: bytes, tmp_path: Path):
    after = painted_ply(content, parsed_ply(content, tmp_path), ["mesh.png"])
    old, new = b"comment TextureFile old.png", b"comment TextureFile mesh.png"
    assert b"comment made by hand" in after
    assert after.replace(new, b"").split() == content.replace(old, b"").split()
    assert after.partition(b"end_header")[2] == content.partition(b"end_header")[2]


def test_text_keeps_its_digits_and_all_that_it_says(tmp_path: Path):
    path = written(tmp_path, "a.ply", TEXT)
    mesh = read_mesh(path)
    after = painted_ply(TEXT.encode(), parsed_ply(TEXT.encode(), path), ["mesh.png"], placed(mesh))
    gone, new = changed(TEXT.encode(), after)
    assert {"property float s", "property float t", "comment TextureFile old.png"} <= set(gone)
    assert {"comment TextureFile mesh.png", "property list uchar float texcoord"} <= set(new)
    assert {"0.10 0 0 255", "1e0 0 0 254"} <= set(new), "all but the places at the vertices, digit by digit"
    faces = [line for line in new if line.startswith(("7 ", "8 ", "9 "))]
    assert [line.split()[:7] for line in faces][::2] == [
        ["7", "4", "0", "1", "2", "3", "0.50"],
        [*"94145", "2", "0.75"],
    ]
    assert faces[1] == "8 2 0 1 0.25 0", "what is no polygon has no places"


@pytest.mark.parametrize(
    "content",
    [
        *(TEXT.replace("\n", ends).encode() for ends in ("\n", "\r\n", "\r")),
        *(binary(order) for order in ("little", "big")),
    ],
)
@pytest.mark.parametrize("is_torn", [False, True])
def test_a_new_atlas_comes_back_with_all_else(content: bytes, is_torn: bool, tmp_path: Path):
    path = written(tmp_path, "a.ply", content)
    mesh = read_mesh(path)
    torn = NewPlaces.of(mesh, np.random.default_rng(1).random((len(mesh.faces), 3, 2)).astype(np.float32))
    places = torn if is_torn else placed(mesh)
    after = painted_ply(content, parsed_ply(content, path), ["mesh.png"], places)
    back_path = written(tmp_path, "b.ply", after)
    back, before = read_mesh(back_path), parsed_ply(content, path)
    assert back.corner_uv is not None
    assert back.file.textures == ("mesh.png",)
    np.testing.assert_array_equal(back.corners, mesh.corners)
    np.testing.assert_array_equal(back.corner_uv.reshape(-1, 2), places.uv[places.triangle_places.reshape(-1)])
    found = parsed_ply(after, back_path)
    assert [element.name for element in found.elements] == ["vertex", "face", "edge"]
    assert (found.text, found.obj_info) == (before.text, ["a scan"])
    assert found["vertex"].data.dtype.names == ("x", "y", "z", "red")
    for name in found["vertex"].data.dtype.names:
        np.testing.assert_array_equal(found["vertex"][name], before["vertex"][name])
        assert found["vertex"].data.dtype[name].newbyteorder("=") == before["vertex"].data.dtype[name].newbyteorder("=")
    once = [7, 7, 8, 9, 9] if is_torn else [7, 8, 9]
    assert found["face"]["flag"].tolist() == once
    assert found["face"]["quality"].tolist() == [{7: 0.5, 8: 0.25, 9: 0.75}[flag] for flag in once]
    assert found["edge"]["vertex2"].tolist() == [1]


def test_strips_become_faces(tmp_path: Path):
    head = TEXT.partition("element face")[0] + "element tristrips 1\nproperty list int int vertex_indices\nend_header\n"
    rows = TEXT.partition("end_header\n")[2].splitlines(keepends=True)[:6]
    content = (head + "".join(rows) + "6 0 1 3 2 -1 0\n").encode()
    path = written(tmp_path, "a.ply", content)
    mesh = read_mesh(path)
    back = read_mesh(
        written(tmp_path, "b.ply", painted_ply(content, parsed_ply(content, path), ["mesh.png"], placed(mesh)))
    )
    np.testing.assert_array_equal(back.corners, mesh.corners)
    assert back.corner_uv is not None

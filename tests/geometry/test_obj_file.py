"""OBJ files: what each line means, by hand-worked examples."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry.mesh import Mesh
from geometry.obj_file import read_obj
from geometry.source_file import BROKEN_UV, NO_UV, SOME_UV

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
PLACES = "vt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
PATH = Path("some/a.obj")


def _read(text: str | bytes) -> Mesh:
    (mesh,) = read_obj(text.encode() if isinstance(text, str) else text, PATH)
    return mesh


@pytest.mark.parametrize("runs", ["ABC", "ABA", "ABACBA", "BAAB"])
def test_materials_change_no_order_and_double_no_vertex(runs: str):
    faces = [[0, 1, 2], [0, 2, 3], [3, 1, 0], [1, 3, 2], [2, 0, 1], [3, 0, 2]][: len(runs)]
    lines = [
        f"usemtl {material}\ng {material}{i}\nf {a + 1} {b + 1} {c + 1}\n"
        for i, (material, (a, b, c)) in enumerate(zip(runs, faces, strict=True))
    ]
    body = _read("mtllib ../elsewhere.mtl\n" + SQUARE + "".join(lines))
    assert body.faces.tolist() == faces
    assert body.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert body.file.materials == tuple(dict.fromkeys(runs))
    assert [body.file.materials[part] for part in body.file.part] == list(runs)
    assert body.file.textures == ("../elsewhere.mtl",)


def test_polygons_become_fans_where_they_stand():
    body = _read(SQUARE + "v 2 2 2\nf 1 2 3\nf 1 2 3 4\nf 2 3 4\nf 5 4 3 2 1\nf 1 2 4\nf 1 2\nl 1 2 3\np 1\n")
    pentagon = [[4, 3, 2], [4, 2, 1], [4, 1, 0]]
    assert body.faces.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3], [1, 2, 3], *pentagon, [0, 1, 3]]
    assert body.file.n_split == 2
    assert body.file.polygon.tolist() == [0, 1, 1, 2, 3, 3, 3, 4], "points and lines are no polygons"


def test_a_position_with_two_places_is_two_vertices_beside_each_other():
    body = _read(SQUARE + "v 9 9 9\n" + PLACES + "f 1/1 2/2 3/3\nf 1/4 3/3 4/2\n")
    assert body.vertices[:, :2].tolist() == [[0, 0], [0, 0], [1, 0], [1, 1], [0, 1], [9, 9]], "the last is in no face"
    assert body.uv is not None
    assert body.uv[body.faces].tolist() == [[[0, 0], [1, 0], [1, 1]], [[0, 1], [1, 1], [1, 0]]]
    assert body.vertices[body.faces][:, :, :2].tolist() == [[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]]


def test_normals_double_no_vertex():
    body = _read(SQUARE + PLACES + "vn 0 0 1\nvn 1 0 0\nf 1/1/1 2/2/1 3/3/1\nf 1/1/2 3/3/2 4/4/2\n")
    assert body.faces.tolist() == [[0, 1, 2], [0, 2, 3]]
    assert _read(SQUARE + "vn 0 0 1\nf 1//1 2//1 3//1\n").file.without_uv == NO_UV


def test_numbers_below_zero_count_back_from_their_own_line():
    body = _read("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf -3/-1 -2/-1 -1/-1\nv 5 0 0\nvt 1 1\nf -4/-1 -3/-1 -1/1\n")
    assert body.vertices[body.faces][:, :, 0].tolist() == [[0, 1, 0], [0, 1, 5]]
    assert body.uv is not None
    assert body.uv[body.faces][:, :, 0].tolist() == [[0, 0, 0], [1, 1, 0]]


def test_spaces_tabs_comments_line_ends_and_colours():
    text = "# v 7 7 7\r\nv\t0  0 0 0.5 0.5 0.5\r\nv 1 0 0 # 1\r\n v 1e-1 -1E+0 .5\r\nf 1 2\\\r\n 3 # 0 a\r\n"
    body = _read(text)
    assert body.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0.1, -1, 0.5]]
    assert body.faces.tolist() == [[0, 1, 2]]


def test_the_sign_of_zero_stays():
    assert np.signbit(_read("v -0.0 0.0 -0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n").vertices[0]).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("faces", "reason"),
    [
        ("f 1 2 3\n", NO_UV),
        ("f 1/1 2/2 3/3\nf 1 2 3\n", SOME_UV),
        ("f 1/1 2 3/3\n", SOME_UV),
        ("f 1/1/1 2/2/1 3/3/1\nf 1//1 2//1 3//1\n", SOME_UV),
        ("f 1/1 2/2 3/5\n", BROKEN_UV),
        ("f 1/1 2/2 3/0\n", BROKEN_UV),
        ("f 1/1 2/2 3/-5\n", BROKEN_UV),
    ],
)
def test_why_there_are_no_texture_coordinates(faces: str, reason: str):
    body = _read(SQUARE + PLACES + faces)
    assert body.file.without_uv == reason
    if reason == SOME_UV:
        assert body.corner_uv is not None
        assert np.isnan(body.corner_uv).any(), "those that are there stay"
    else:
        assert body.uv is None
    assert body.corners[0].tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0]]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n", "line 1: 'v 0 0': a vertex needs three numbers"),
        (SQUARE + "v 1 x 0\n", "line 5: 'v 1 x 0': could not convert string to float"),
        (SQUARE + "f 1 2 b/1\n", "line 5: 'f 1 2 b/1': invalid literal"),
        (SQUARE + "f 1 2 99999999999999999999\n", "line 5: .*too big"),
        ("<html>\n<body>v 1 2 3</body>\n", r"it has no vertices \(lines 'v x y z'\)"),
        ("\0\0v 1 2 3\n", "it holds binary data"),
    ],
)
def test_broken_files_are_told_with_the_line(text: str, complaint: str):
    with pytest.raises(UserError, match=rf"^some/a\.obj: not a readable OBJ file: {complaint}") as caught:
        _read(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("corner", ["0", "5", "-5", "5/1"])
def test_vertices_that_are_not_there(corner: str):
    with pytest.raises(UserError, match=r"^some/a\.obj: face indices out of range: "):
        _read(SQUARE + f"f 1 2 {corner}\n")


def test_a_file_of_trimesh_comes_back(tmp_path: Path):
    ball = trimesh.creation.icosphere(subdivisions=2)
    text = ball.export(file_type="obj", digits=17)
    body = _read(str(text))
    np.testing.assert_array_equal(body.vertices, ball.vertices)
    np.testing.assert_array_equal(body.faces, ball.faces)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
def test_a_byte_order_mark_hides_no_line(encoding: str):
    text = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    marked = "\ufeff" + text if encoding == "utf-16-be" else text  # Python marks the others
    assert _read(marked.encode(encoding)).vertices.tolist() == [[0, 0, 0], [1, 0, 0], [0, 1, 0]]

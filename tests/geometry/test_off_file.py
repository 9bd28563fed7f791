"""OFF files: what each line means, by hand-worked examples."""

from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry.mesh import Mesh
from geometry.off_file import read_off

POINTS = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n-0.0 0 1\n"
PATH = Path("some/a.off")


def _read(text: str) -> Mesh:
    (mesh,) = read_off(text.encode(), PATH)
    return mesh


def test_polygons_of_all_sizes_stay_in_order():
    body = _read(f"OFF\n5 5 0\n{POINTS}4 0 1 2 3\n3 0 1 4\n5 0 1 2 3 4\n2 0 1\n3 4 2 1 255 0 0\n")
    fan = [[0, 1, 2], [0, 2, 3]]
    assert body.faces.tolist() == [*fan, [0, 1, 4], *fan, [0, 3, 4], [4, 2, 1]]
    assert body.file.n_split == 2
    assert body.vertices[4].tolist() == [0, 0, 1]
    assert np.signbit(body.vertices[4, 0]), "the sign of zero stays"


@pytest.mark.parametrize("header", ["OFF\n5 1 0", "OFF 5 1 0", "OFF5 1 0", "# said\nOFF # 3\n\n# more\n5 1 0 # 9"])
def test_headers_in_the_wild(header: str):
    assert _read(f"{header}\n{POINTS}3 0 1 2\n").faces.tolist() == [[0, 1, 2]]


def test_what_follows_a_position_is_left_out():
    points = "".join(f"{line} 0 0 1 255 0 0 255\n" for line in POINTS.splitlines())
    for header in ("COFF", "NOFF", "STOFF", "CNOFF"):
        assert _read(f"{header}\n5 1 0\n{points}3 0 1 2\n").vertices[1].tolist() == [1, 0, 0]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("4OFF\n", "it does not begin with 'OFF'"),
        ("OFF\n", "the counts of vertices and faces are missing"),
        ("OFF\n5\n", "the counts of vertices and faces are missing"),
        (f"OFF\n5 2 0\n{POINTS}3 0 1 2\n", "it ends before its 5 vertices and 2 faces"),
        ("OFF\n-1 2 0\n", "it ends before its -1 vertices"),
        ("OFF\n3 1 0\n0 0\n1 0\n0 1\n3 0 1 2\n", "a vertex has fewer than three numbers"),
        (f"OFF\n5 1 0\n{POINTS}5 0 1 2\n", "a face has not as many corners as it says: '5 0 1 2'"),
        (f"OFF\n5 1 0\n{POINTS}3 0 1 b\n", "invalid literal"),
        ("OFF BINARY\n\0\0\0", "the counts of vertices and faces are missing"),
    ],
)
def test_broken_files_are_told(text: str, complaint: str):
    with pytest.raises(UserError, match=rf"^some/a\.off: not a readable OFF file: .*({complaint})") as caught:
        _read(text)
    assert "\n" not in str(caught.value)


def test_vertices_that_are_not_there():
    for corner in (5, -1):
        with pytest.raises(UserError, match=r"^some/a\.off: face indices out of range: "):
            _read(f"OFF\n5 1 0\n{POINTS}3 0 1 {corner}\n")


def test_a_file_of_trimesh_comes_back():
    ball = trimesh.creation.icosphere(subdivisions=2)
    body = _read(str(ball.export(file_type="off", digits=17)))
    np.testing.assert_array_equal(body.vertices, ball.vertices)
    np.testing.assert_array_equal(body.faces, ball.faces)

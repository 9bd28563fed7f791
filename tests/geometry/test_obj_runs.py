"""Plain lines are read at once, with the numbers that each of them has on its own."""

import time
from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from geometry.mesh import Mesh
from geometry.obj_file import read_obj
from geometry.obj_runs import FEWEST, MOST, run_at

RNG = np.random.default_rng(0)
PATH = Path("some/a.obj")
N = 40


def read(lines: list[str], end: str = "\n") -> Mesh:
    (mesh,) = read_obj("".join(line + end for line in lines).encode(), PATH)
    return mesh


def numbers(count: int, width: int) -> list[str]:
    return [" ".join(f"{value:.{RNG.integers(0, 17)}g}" for value in row) for row in RNG.normal(size=(count, width))]


def faces(form: str, sizes: list[int]) -> list[str]:
    return ["f " + " ".join(form.format(*RNG.integers(1, N + 1, 3)) for _ in range(size)) for size in sizes]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", " \n", "\t\n"])
@pytest.mark.parametrize("form", ["{0}", "{0}/{1}", "{0}//{2}", "{0}/{1}/{2}"])
@pytest.mark.parametrize("sizes", [[3], [4], [3, 4, 5], [3, 7]])
@pytest.mark.parametrize("widths", [(3, 2), (6, 3), (4, 1)])
def test_the_same_as_line_by_line(end: str, form: str, sizes: list[int], widths: tuple[int, int]) -> None:
    lines = [
        *(f"v {row}" for row in numbers(N, widths[0])),
        *(f"vt  {row}" for row in numbers(N, widths[1])),
        *(f"vn {row}" for row in numbers(N, 3)),
        *faces(form, sizes * N),
        "usemtl wood",
        *faces(form, sizes * N),
    ]
    at_once = read(lines, end)
    one_by_one = read([f"{line} # alone" if line != "usemtl wood" else line for line in lines], end)
    assert at_once.file.materials == one_by_one.file.materials == (None, "wood")
    for one, other in (
        (at_once.vertices, one_by_one.vertices),
        (at_once.faces, one_by_one.faces),
        (at_once.uv, one_by_one.uv),
        (at_once.file.part, one_by_one.file.part),
        (at_once.file.polygon, one_by_one.file.polygon),
        (at_once.file.corner, one_by_one.file.corner),
    ):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    "words",
    [
        "-0.0 0 1",
        "1e400 -1e400 1",
        "1e-400 4.9e-324 .5",
        "1. +2 3E-1",
        "0.1 0.30000000000000004 123.456789012345678901",
    ],
)
def test_numbers_are_pythons_own(words: str) -> None:
    run = run_at((f"v {words}\n" * FEWEST).encode(), 0)
    assert run is not None
    expected = [float(word) for word in words.split()]
    assert run.numbers.tobytes() == np.array([expected] * FEWEST).tobytes()


@pytest.mark.parametrize(
    "line",
    [
        *("v 1 2", "v 1 2 nan", "v 1 2 1_0", "v 1 2 3 # 4", "v 1 2 \\", "vt 1", "usemtl a"),
        *("f 1 2", "f 1 2 0", "f 1 2 -3", "f 1 2/3 4", "f 1/ 2/ 3/", "f 1 2 1234567890123456789"),
    ],
)
def test_what_is_not_plain_is_no_run(line: str) -> None:
    assert run_at(f"{line}\n".encode() * FEWEST, 0) is None


def test_a_run_ends_where_the_form_changes() -> None:
    plain = b"v 1 2 3\n"
    for other in (b"v 1 2\n", b"v 1 2 x\n", b"vt 1 2\n", b"v 4 5 \\\n6\n", b"v 1 2 3"):
        run = run_at(plain * FEWEST + other, 0)
        assert run is not None
        assert (run.n_lines, run.end) == (FEWEST, FEWEST * len(plain)), other
    assert run_at(plain * (FEWEST - 1), 0) is None
    longest = run_at(plain * (MOST + 1), 0)
    assert longest is not None
    assert longest.n_lines == MOST


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("v 1 x 0", "line {}: 'v 1 x 0': could not convert string to float"),
        ("f 1 2 0", "line {} names vertex 0, OBJ counts from 1"),
    ],
)
def test_errors_name_the_line_behind_runs_and_lines_that_go_on(line: str, complaint: str) -> None:
    before = [*["v 1 2 3"] * N, "v 1 2 \\", "3", "vn 0 0 1", *["vn 0 0 1"] * N]
    with pytest.raises(UserError, match=complaint.format(len(before) + 1)):
        read([*before, line, *["f 1 2 3"] * N])


def test_the_first_line_of_a_run_may_belong_to_the_one_before() -> None:
    mesh = read([*["v 0 0 0", "v 1 0 0"] * N, "# made by \\", "g 1 \\", *["f 1 2 3"] * N])
    assert len(mesh.faces) == N - 1


def test_a_million_faces_take_seconds() -> None:
    content = (
        b"v 0 0 0\nv 1 0 0\nv 0 1 0\n" * 170_000 + b"f 1/1/1 2/2/2 3/3/3\n" * 1_000_000 + b"vt 0 0\nvt 1 0\nvt 0 1\n"
    )
    begin = time.process_time()
    (mesh,) = read_obj(content, PATH)
    assert time.process_time() - begin < 5  # 1.5 s on one core; 13 s line by line
    assert len(mesh.faces) == 1_000_000

"""Runs of plain lines in an OBJ file, turned into numbers at once: line by line, millions of faces take half a minute.

Plain are `v`, `vt` and `f` with numbers alone and as many in each line; indices count from the file's start. What is
written in any other way is left to the reader of single lines, which knows every form.
"""

import re
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Num

#: Fewer lines are faster one by one; more would hold too many numbers as text and as numbers at once.
FEWEST, MOST = 16, 65536
_NUMBER = rb"[-+]?+(?:\d++(?:\.\d*+)?+|\.\d++)(?:[eE][-+]?+\d++)?+"
_INDEX = rb"[1-9]\d{0,17}+"  # fits into 64 bits
#: A line's first word, what stands behind it and how often; each named by the word and the numbers in a row.
_FORMS = {
    "v_3": (b"v", _NUMBER, b"{3}"),
    "v_6": (b"v", _NUMBER, b"{6}"),  # a colour behind the position
    "vt_2": (b"vt", _NUMBER, b"{2}"),
    "vt_3": (b"vt", _NUMBER, b"{3}"),
    "f_1": (b"f", _INDEX, b"{3,}+"),
    "f_2": (b"f", _INDEX + b"/" + _INDEX, b"{3,}+"),
    "f_3": (b"f", _INDEX + b"/" + _INDEX + b"/" + _INDEX, b"{3,}+"),
    "fn_2": (b"f", _INDEX + b"//" + _INDEX, b"{3,}+"),
}
# Not `{%d,%d}+`: in Python 3.11.2 a possessive group of possessive parts ends too early.
_LINES = [
    rb"(?P<%b>(?:%b(?:[ \t]++%b)%b[ \t]*+\n){%d,%d})" % (name.encode(), word, item, times, FEWEST, MOST)
    for name, (word, item, times) in _FORMS.items()
]
_NORMALS = rb"(?P<vn_0>(?:vn[^\n\\]*+\n){%d,%d})" % (FEWEST, MOST)
_RUN = re.compile(b"|".join([*_LINES, _NORMALS]))
_WITHOUT_WORDS = bytes.maketrans(b"vtf/\t\n", b"      ")


@dataclass(frozen=True, eq=False)
class Run:
    """Lines of one form that stand one behind the other."""

    word: str
    """v, vt, f; fn: faces with normals and without texture coordinates; vn: normals, which are not read."""
    n_lines: int
    end: int
    """Where in the file the line behind it begins."""
    numbers: Num[np.ndarray, "rows columns"]
    """A row for each line, float64, or for each corner of a face, int64 and counted from 1 as the file has them."""
    n_corners: Int[np.ndarray, "lines"]
    """Of each face."""


def run_at(content: bytes, start: int) -> Run | None:
    """The run that begins at this place of a file whose lines end in `\\n` alone; None if there is none."""
    found = _RUN.match(content, start)
    if found is None or found.lastgroup is None:
        return None
    word, n_columns = found.lastgroup.split("_")
    lines = found.group()
    is_face = word.startswith("f")
    return Run(
        word,
        lines.count(b"\n"),
        found.end(),
        _numbers(lines, is_face, int(n_columns)) if word != "vn" else np.zeros((0, 0)),
        _n_corners(lines) if is_face else np.zeros(0, np.int64),
    )


def _numbers(lines: bytes, is_face: bool, n_columns: int) -> Num[np.ndarray, "rows columns"]:
    kind = np.int64 if is_face else np.float64
    return np.fromstring(lines.translate(_WITHOUT_WORDS), kind, sep=" ").reshape(-1, n_columns)


def _n_corners(lines: bytes) -> Int[np.ndarray, "lines"]:
    """How many words each line has behind its first, which is `f`."""
    letters = np.frombuffer(lines, np.uint8)
    is_blank = letters <= ord(" ")
    begins = letters[np.concatenate([[True], is_blank[:-1]]) & ~is_blank]
    line_begins = np.flatnonzero(begins == ord("f"))
    return np.diff(line_begins, append=len(begins)) - 1

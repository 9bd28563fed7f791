"""Three formats of one table, and what is wrong with a file."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from app.jobs.table import read_rows
from core.errors import UserError

ROWS = [
    {"prompt": "a red mushroom, with dots", "seed": 3, "system.losses.density": "null"},
    {"prompt": 'a "blue" house\non a hill', "trainer.max_steps": 20},
]


def cells(path: Path) -> list[dict[str, str]]:
    return [{name: text for name, text in row.cells.items() if text} for row in read_rows(path)]


def test_csv_and_json_lines_say_the_same(tmp_path: Path) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text(
        '\ufeffprompt,seed,trainer.max_steps,system.losses.density\n"a red mushroom, with dots",3,,null\n\n'
        '"a ""blue"" house\non a hill",,20,\n',
        encoding="utf-8",
    )
    lines = tmp_path / "jobs.jsonl"
    lines.write_text("\n\n".join(json.dumps({**row, "id": None}) for row in ROWS))
    assert cells(table) == cells(lines)
    assert [row.number for row in read_rows(table)] == [1, 2]
    assert cells(table)[0] == {"prompt": ROWS[0]["prompt"], "seed": "3", "system.losses.density": "null"}


def test_values_of_json_are_written_as_on_the_command_line(tmp_path: Path) -> None:
    lines = tmp_path / "jobs.jsonl"
    lines.write_text('{"a.b": [1, 2.5], "c.d": true, "e.f": {"start": 1}, "g.h": NaN}')
    assert cells(lines) == [{"a.b": "[1, 2.5]", "c.d": "true", "e.f": '{"start": 1}'}]


def test_parquet_says_the_same(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: requirements-cluster.txt")
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    path = tmp_path / "jobs.parquet"
    parquet.write_table(pyarrow.Table.from_pylist([{**ROWS[0], "trainer.max_steps": None}, ROWS[1]]), path)
    lines = tmp_path / "jobs.jsonl"
    lines.write_text("\n".join(map(json.dumps, ROWS)))
    assert cells(path) == cells(lines)


def test_semicolons_and_tabs_separate_too(tmp_path: Path) -> None:
    for mark in ";\t":
        table = tmp_path / "jobs.csv"
        table.write_text(f"id{mark}prompt\na{mark}a red, round ball\n")
        assert cells(table) == [{"id": "a", "prompt": "a red, round ball"}]


def test_a_broken_row_is_a_fault_of_that_row_alone(tmp_path: Path) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text("id,prompt\na,a red, round ball\nb,a ball\n")
    first, second = read_rows(table)
    assert first.fault == "1 cells more than the header; a text with a comma goes in double quotes"
    assert (second.fault, second.number) == (None, 2)
    lines = tmp_path / "jobs.jsonl"
    lines.write_text('{"prompt": "a ball"}\n{"prompt": \n["a ball"]\n')
    faults = [row.fault or "" for row in read_rows(lines)]
    assert (faults[0], faults[1][:8]) == ("", "no JSON:")
    assert faults[2] == 'no JSON object, such as {"prompt": "a red mushroom"}'


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("jobs.csv", None, "no such jobs file"),
        ("jobs.xlsx", b"", "a jobs file ends in .csv, .jsonl or .parquet"),
        ("jobs.json", b"[]", "Did you mean '.jsonl'?"),
        ("jobs.csv", b"", "holds no rows"),
        ("jobs.csv", b"prompt,seed\n", "holds no rows"),
        ("jobs.csv", b"prompt,seed,prompt\na,1,b\n", "column 'prompt' twice"),
        ("jobs.csv", b"prompt,,seed\na,1,b\n", "a column without a name"),
        ("jobs.csv", b"prompt\n\xff\xfe\n", "cannot be read: .*; save it as UTF-8"),
        ("jobs.csv", b'id,prompt\n\na,a cube\nb,"a ball\nc,a cone\n', "row 2 cannot be read: unexpected end"),
        ("jobs.csv", b'"id" prompt\n', "its first line cannot be read"),
    ],
)
def test_what_is_no_jobs_file_is_told_in_one_line(
    tmp_path: Path, name: str, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=complaint) as error:
        read_rows(path)
    assert len(str(error.value).splitlines()) == 1


def test_nothing_stands_before_the_header_and_short_lines_leave_out_empty_cells(tmp_path: Path) -> None:
    table = tmp_path / "jobs.csv"
    table.write_text("\n,,\n\nid,prompt,seed\na,a ball,3\nb\n")
    first, second = read_rows(table)
    assert (first.cells["seed"], dict(second.cells)) == ("3", {"id": "b", "prompt": "", "seed": ""})


def test_a_row_without_a_prompt_among_others_has_an_empty_one(tmp_path: Path) -> None:
    """The recipe's own prompt is for files without such a column."""
    lines = tmp_path / "jobs.jsonl"
    lines.write_text('{"id": "a", "prompt": "a ball"}\n{"id": "b"}\n{"id": "c", "prompt": null}\n')
    assert [row.cells["prompt"] for row in read_rows(lines)] == ["a ball", "", ""]
    lines.write_text('{"id": "a"}\n{"id": "b"}\n')
    assert ["prompt" in row.cells for row in read_rows(lines)] == [False, False]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"prompt": ', "no JSON: Expecting value at character 12"),
        ('{"prompt": "a ball", "prompt": "a cube"}', "no JSON: 'prompt' stands twice"),
        ('{"prompt": ' + "[" * 10**5, "no JSON: maximum recursion depth"),
        ('{"prompt": ["a ball"]}', 'prompt: expected a text or a number, got ["a ball"]'),
        ('{"prompt": "a ball", "id": true}', "id: expected a text or a number, got true"),
        ('{"trainer": {"max_steps": 3}}', 'trainer: expected a text or a number, got {"max_steps": 3}; a setting has'),
        ('{"prompt": "a\\u0000 ball"}', "prompt: holds a NUL or half a character"),
        ('{"id": "\\ud800"}', "id: holds a NUL or half a character"),
        ('{"\\ud800.a": 1}', "\\ud800.a: holds a NUL or half a character"),
    ],
)
def test_what_no_row_can_say_is_a_fault_of_the_row(tmp_path: Path, line: str, fault: str) -> None:
    lines = tmp_path / "jobs.jsonl"
    lines.write_text(f'{{"prompt": "a ball"}}\n{line}\n')
    sound, broken = read_rows(lines)
    assert sound.fault is None
    assert (broken.fault or "").startswith(fault)


def test_characters_of_all_planes_stay_what_they_are(tmp_path: Path) -> None:
    lines = tmp_path / "jobs.jsonl"
    lines.write_text(json.dumps({"a.b": ["\U0001f600", "é"]}))
    assert cells(lines) == [{"a.b": '["\U0001f600", "é"]'}]


def test_types_of_parquet_that_are_texts_and_those_that_are_none(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed: requirements-cluster.txt")
    from pyarrow import parquet  # pyright: ignore[reportMissingImports]

    path = tmp_path / "jobs.parquet"
    rows = [{"id": Decimal("1.5"), "prompt": b"a ball", "system.guidance.negative_prompt": b"a cube"}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    (row,) = read_rows(path)
    assert row.cells["id"] == "1.5"
    assert [line.split(";")[0] for line in (row.fault or "").splitlines()] == [
        "prompt: expected a text or a number, got bytes",
        "system.guidance.negative_prompt: expected a text or a number, got bytes",
    ]

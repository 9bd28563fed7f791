"""What came of jobs, as lines and as a table: made of folders, whole whenever a driver was killed."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from app.jobs.folder import Record, Status, Task, begin, finish, jobs_in, read_record, state_of, unreadable
from app.jobs.index import write_index
from app.jobs.results import Results, write_table


def task(out: Path, name: str, row: int = 1, attempt: int = 1) -> Task:
    return Task(name, row, f"a ball, {name}", out / name, (), {"recipe": "1"}, attempt=attempt)


def end(out: Path, name: str, status: Status, attempt: int = 1, **more: Any) -> Record:
    """A job that has ended, its folder written as a worker does."""
    given = task(out, name, attempt=attempt)
    record = Record.of(given, status, **more)
    begin(given)
    finish(given.folder, record)
    return record


def lines(out: Path) -> list[tuple[str, int, str]]:
    said = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    return [(each["id"], each["attempt"], each["status"]) for each in said]


def test_a_folder_says_how_far_its_job_has_come(tmp_path: Path) -> None:
    assert state_of(tmp_path / "a") == "new"
    begin(task(tmp_path, "a"))
    assert state_of(tmp_path / "a") == "begun"
    record = end(tmp_path, "a", "failed", error="a reason")
    assert (state_of(tmp_path / "a"), read_record(tmp_path / "a")) == ("failed", record)
    begin(task(tmp_path, "a", attempt=2))
    assert state_of(tmp_path / "a") == "begun", "what is tried again has not failed yet"
    end(tmp_path, "a", "done", attempt=2)
    assert state_of(tmp_path / "a") == "done"


def test_a_line_that_was_torn_is_cut_off_and_written_again(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.add(end(tmp_path, "a", "done"))
    results.add(end(tmp_path, "b", "done"))
    path = tmp_path / "results.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    again = Results(tmp_path)
    again.catch_up([tmp_path / "a", tmp_path / "b"])
    assert lines(tmp_path) == [("a", 1, "done"), ("b", 1, "done")]
    Results(tmp_path).catch_up([tmp_path / "a", tmp_path / "b"])
    assert len(lines(tmp_path)) == 2, "what is there is not written twice"


def test_what_only_a_folder_knows_is_caught_up_with(tmp_path: Path) -> None:
    end(tmp_path, "a", "done")
    end(tmp_path, "b", "failed", error="no mesh")
    begin(task(tmp_path, "c"))
    results = Results(tmp_path)
    results.catch_up([tmp_path / name for name in "abcd"])
    assert lines(tmp_path) == [("a", 1, "done"), ("b", 1, "failed")]
    assert (results.next_attempt("b"), results.next_attempt("c")) == (2, 1)


def test_the_table_has_a_row_for_each_job_that_has_ended(tmp_path: Path) -> None:
    end(tmp_path, "a", "done", seconds={"whole": 2.5}, figures={"faces": 20})
    end(tmp_path, "b", "failed", error='it said "no", twice')
    begin(task(tmp_path, "c"))
    with write_table(tmp_path).open(newline="") as file:
        first, second = csv.DictReader(file)
    assert (first["id"], first["status"], first["whole_s"], first["faces"]) == ("a", "done", "2.5", "20")
    assert (second["error"], second["faces"]) == ('it said "no", twice', "")


RUBBISH = [
    {"attempt": "x"},
    {"id": []},
    {"row": {}},
    {"status": "<script>alert(1)</script>"},
    {"status": "failed"},
    {"seconds": []},
    {"seconds": {"whole": '"><script>'}},
    {"figures": []},
    {"error": 5},
    {"peak_memory_gib": "<b>"},
    {"prompt": ["a"]},
    {"digests": 3},
]


@pytest.mark.parametrize("change", RUBBISH, ids=str)
def test_a_record_that_was_edited_to_rubbish_is_none(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = tmp_path / "a"
    end(tmp_path, "a", "done")
    note = folder / "done.json"
    note.write_text(json.dumps({**json.loads(note.read_text()), **change}))
    assert (read_record(folder), unreadable(folder), state_of(folder)) == (None, note, "begun")
    Results(tmp_path).catch_up([folder])
    assert write_table(tmp_path).read_text().strip() == ""
    page = write_index(tmp_path).read_text()
    assert "unfinished" in page
    assert "alert(1)" not in page


def test_rows_that_are_no_numbers_have_an_order_too(tmp_path: Path) -> None:
    for name, row in (("a", "x"), ("b", None), ("c", 1)):
        end(tmp_path, name, "done")
        note = tmp_path / name / "job.json"
        note.write_text(json.dumps({**json.loads(note.read_text()), "row": row}))
    assert [folder.name for folder in jobs_in(tmp_path)] == ["a", "b", "c"]


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("a line without an end")
    out = tmp_path / "out"
    record = end(out, "a", "done")
    (out / "results.jsonl").symlink_to(kept)
    with pytest.raises(OSError, match=r"results\.jsonl"):
        Results(out)
    (out / "results.jsonl").unlink()
    results = Results(out)
    (out / "results.jsonl").symlink_to(kept)
    with pytest.raises(OSError, match=r"results\.jsonl"):
        results.add(record)
    assert kept.read_text() == "a line without an end"

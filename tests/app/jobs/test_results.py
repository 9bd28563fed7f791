"""What came of jobs, as lines and as a table: made of folders, whole whenever a driver was killed."""

import csv
import json
from pathlib import Path
from typing import Any

from app.jobs.folder import Record, Status, Task, begin, finish, read_record, state_of
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

"""What came of the jobs, for programs: results.jsonl, a line for each attempt; results.csv, one for each job.

The first is only ever added to, the second is made anew of the folders.
"""

import csv
import fcntl
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from app.jobs.folder import Record, jobs_in, read_record
from core.files import parse_json, whole_file, without_following

LINES, TABLE = "results.jsonl", "results.csv"


class Results:
    """The lines of results.jsonl. Several drivers may add to one file (--shard)."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._n_attempts: dict[str, int] = {}
        self._done: set[str] = set()
        self._read()

    def next_attempt(self, job: str) -> int:
        """The number of a job's next attempt, from 1 on."""
        return self._n_attempts.get(job, 0) + 1

    def add(self, record: Record) -> None:
        """Append an attempt to results.jsonl, whole, whoever else writes to it."""
        self._count(record.id, record.attempt, record.status)
        with open(self.out / LINES, "a", encoding="utf-8", opener=without_following) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(json.dumps(asdict(record)) + "\n")

    def catch_up(self, folders: Sequence[Path]) -> None:
        """Add what folders say and the lines do not: a driver died between the two."""
        for folder in folders:
            record = read_record(folder)
            is_new = record is not None and record.attempt > self._n_attempts.get(record.id, 0)
            if record is not None and (is_new or (record.status == "done" and record.id not in self._done)):
                self.add(record)

    def _read(self) -> None:
        """Count the attempts; a line that was not written to its end is cut off."""
        path = self.out / LINES
        if not path.exists():
            return
        with open(path, "r+b", opener=without_following) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            content = file.read()
            whole = content[: content.rfind(b"\n") + 1]
            if len(whole) < len(content):
                file.truncate(len(whole))
        for line in whole.decode("utf-8", "replace").splitlines():
            try:
                said = parse_json(line)
                self._count(said["id"], said["attempt"], said["status"])
            except (ValueError, KeyError, TypeError):
                continue

    def _count(self, job: str, attempt: int, status: str) -> None:
        self._n_attempts[job] = max(attempt, self._n_attempts.get(job, 0))
        if status == "done":
            self._done.add(job)


def write_table(out: Path) -> Path:
    """results.csv, made of the folders of all jobs that have ended."""
    rows = [_flat(record) for folder in jobs_in(out) if (record := read_record(folder)) is not None]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    path = out / TABLE
    with whole_file(path) as unfinished, unfinished.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, restval="")
        table.writeheader()
        table.writerows(rows)
    return path


def _flat(record: Record) -> dict[str, Any]:
    """A record as a row, its figures and seconds in columns of their own."""
    whole = asdict(record)
    del whole["digests"]
    seconds, figures = whole.pop("seconds"), whole.pop("figures")
    return {**whole, **{f"{name}_s": value for name, value in seconds.items()}, **figures}

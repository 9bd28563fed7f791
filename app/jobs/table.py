"""A jobs file, row by row: CSV, JSON lines or Parquet, all read into the same texts."""

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UserError, did_you_mean


@dataclass(frozen=True)
class Row:
    """What one row says."""

    number: int
    """From 1 on; the header is not counted."""
    cells: Mapping[str, str]
    """By column; values are texts, written as on the command line. What is null is left out."""
    fault: str | None = None
    """Why it cannot be read."""


def read_rows(path: Path) -> list[Row]:
    """The rows of a jobs file.

    Raises:
        UserError: there is no such file, it cannot be read, or it holds no row.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such jobs file; see docs/jobs.md for an example")
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise UserError(f"{path}: a jobs file ends in .csv, .jsonl or .parquet. {did_you_mean(path.suffix, _READERS)}")
    try:
        rows = list(read(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    if not rows:
        raise UserError(f"{path}: holds no rows")
    return rows


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        lines = csv.reader(file, delimiter=max(",;\t", key=first.count), strict=True)
        header = [name.strip() for name in next(lines, [])]
        doubled = [name for name, count in Counter(header).items() if count > 1]
        if doubled or "" in header:
            what = f"column '{doubled[0]}' twice" if doubled else "a column without a name"
            raise UserError(f"{path}: its first line has {what}; it names the columns, such as id,prompt,seed")
        filled = (cells for cells in lines if any(cell.strip() for cell in cells))
        for number, cells in enumerate(filled, 1):
            n_more = len(cells) - len(header)
            fault = f"{n_more} cells more than the header; a text with a comma goes in double quotes"
            yield Row(number, dict(zip(header, cells, strict=False)), fault if n_more > 0 else None)


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate((line for line in file if line.strip()), 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                yield Row(number, {}, f"no JSON: {error}")
                continue
            if isinstance(row, dict):
                yield Row(number, _texts(row))
            else:
                yield Row(number, {}, 'no JSON object, such as {"prompt": "a red mushroom"}')


def _read_parquet(path: Path) -> Iterator[Row]:
    try:
        from pyarrow import ArrowException, parquet  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(f"{path}: Parquet needs pyarrow: pip install -r requirements-cluster.txt") from error
    try:
        rows = parquet.read_table(path).to_pylist()
    except ArrowException as error:
        raise UserError(f"{path}: not a readable Parquet file: {str(error).splitlines()[0]}") from error
    yield from (Row(number, _texts(row)) for number, row in enumerate(rows, 1))


def _texts(row: Mapping[str, Any]) -> dict[str, str]:
    """Values as the command line has them: numbers, lists and truth values as JSON, which is YAML too."""
    given = {name: value for name, value in row.items() if value is not None and not _is_nan(value)}
    return {name: value if isinstance(value, str) else json.dumps(value, default=str) for name, value in given.items()}


def _is_nan(value: Any) -> bool:
    """What tables of numbers hold where a cell is empty."""
    return isinstance(value, float) and math.isnan(value)


_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}

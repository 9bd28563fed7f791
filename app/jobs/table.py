"""A jobs file, row by row: CSV, JSON lines or Parquet, all read into the same texts."""

import csv
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from core.errors import UserError, did_you_mean

#: What no text holds: the end of a path for the system, and halves of characters, which cannot be written.
_NO_TEXT = re.compile(r"[\x00\ud800-\udfff]")


@dataclass(frozen=True)
class Row:
    """What one row says."""

    number: int
    """From 1 on; the header is not counted."""
    cells: Mapping[str, str]
    """By column; values are texts, written as on the command line. What is null is empty."""
    fault: str | None = None
    """Why it cannot be read; a line for each reason."""


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
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: cannot be read: {error}; save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error}") from error
    if not rows:
        raise UserError(f"{path}: holds no rows")
    return _with_prompts([_checked(row) for row in rows])


def _read_csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = next((line for line in file if line.strip()), "")
        file.seek(0)
        lines = csv.reader(file, delimiter=max(",;\t", key=first.count), strict=True)
        filled = (cells for cells in _whole(lines, path) if any(cell.strip() for cell in cells))
        header = [name.strip() for name in next(filled, [])]
        doubled = [name for name, count in Counter(header).items() if count > 1]
        if doubled or "" in header:
            what = f"column '{doubled[0]}' twice" if doubled else "a column without a name"
            raise UserError(f"{path}: its first line has {what}; it names the columns, such as id,prompt,seed")
        for number, cells in enumerate(filled, 1):
            n_more = len(cells) - len(header)
            fault = f"{n_more} cells more than the header; a text with a comma goes in double quotes"
            whole = [*cells, *[""] * -n_more]  # what a short line leaves out is empty
            yield Row(number, dict(zip(header, whole, strict=False)), fault if n_more > 0 else None)


def _whole(lines: Iterator[list[str]], path: Path) -> Iterator[list[str]]:
    """The lines of a table that can be told from one another; the first that cannot ends it with an error."""
    n_filled = 0
    try:
        for cells in lines:
            n_filled += any(cell.strip() for cell in cells)
            yield cells
    except csv.Error as error:
        where = f"row {n_filled}" if n_filled else "its first line"
        hint = 'a text with quotes doubles them: "a ""red"" mug"'
        raise UserError(f"{path}: {where} cannot be read: {error}; {hint}") from error


def _read_jsonl(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate((line for line in file if line.strip()), 1):
            try:
                row = json.loads(line.rstrip("\n"), object_pairs_hook=_object)
            except json.JSONDecodeError as error:
                yield Row(number, {}, f"no JSON: {error.msg} at character {error.pos + 1}")
                continue
            except (ValueError, RecursionError) as error:
                yield Row(number, {}, f"no JSON: {error}")
                continue
            if isinstance(row, dict):
                yield _row(number, row)
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
    yield from (_row(number, row) for number, row in enumerate(rows, 1))


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object that says everything once."""
    doubled = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if doubled:
        raise ValueError(f"'{doubled[0]}' stands twice")
    return dict(pairs)


def _row(number: int, values: Mapping[str, Any]) -> Row:
    """A row of values that are no texts yet."""
    cells = {name: _text(value) for name, value in values.items()}
    faults = [
        f"{name}: expected a text or a number, got {'bytes' if isinstance(value, bytes) else cells[name][:100]}; "
        "a setting has a column of its own, such as trainer.max_steps"
        for name, value in values.items()
        if isinstance(value, bytes) or ("." not in name and isinstance(value, bool | list | tuple | dict))
    ]
    return Row(number, cells, "\n".join(faults) or None)


def _text(value: Any) -> str:
    """A value as the command line has it: lists and truth values as JSON, which is YAML too."""
    if value is None or (isinstance(value, float) and math.isnan(value)):  # tables of numbers have no other empty cell
        return ""
    if isinstance(value, str | Decimal):
        return str(value)
    return json.dumps(value, default=str, ensure_ascii=False)


def _checked(row: Row) -> Row:
    """The row, with a fault where it holds what no text does."""
    unfit = [name for name, text in row.cells.items() if _NO_TEXT.search(name + text)]
    if row.fault or not unfit:
        return row
    return replace(row, fault="\n".join(f"{ascii(name)[1:-1]}: holds a NUL or half a character" for name in unfit))


def _with_prompts(rows: Sequence[Row]) -> list[Row]:
    """The rows, with an empty prompt where one says none and others do: JSON lines need not all have it."""
    if not any("prompt" in row.cells for row in rows):
        return list(rows)
    return [replace(row, cells={"prompt": "", **row.cells}) for row in rows]


_READERS: Mapping[str, Callable[[Path], Iterator[Row]]] = {
    ".csv": _read_csv,
    ".jsonl": _read_jsonl,
    ".parquet": _read_parquet,
}

"""What jobs are called: names that are folders on every disk, no two of them the same, and rows named in errors."""

import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from hashlib import sha256

from app.jobs.table import Row
from app.run_folder import slug

#: A folder's name on every system; a text of many words is one too, as evaluation code wants it.
_NAME = re.compile(r"[^\s./\\:*?\"<>|\x00-\x1f\x7f][^/\\:*?\"<>|\x00-\x1f\x7f]*(?<!\.)")
#: Names that Windows keeps for devices, also with an ending.
_DEVICE = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
#: In bytes; disks take 255.
LONGEST = 200
#: What lies beside the folders.
TAKEN = ("index.html", "results.csv", "results.jsonl")
#: Rows of one fault that are named one by one.
N_NAMED = 8


def given(row: Row) -> dict[str, str]:
    """A row's cells that say something."""
    return {column: text.strip() for column, text in row.cells.items() if text.strip()}


def job_name(cells: Mapping[str, str]) -> str:
    """The name of a job and of its folder: its own, or made of all that the row says."""
    mark = sha256(json.dumps(sorted(cells.items())).encode()).hexdigest()[:10]
    return cells.get("id") or f"{slug(cells.get('prompt', '')) or 'job'}-{mark}"


def bad_name(name: str) -> list[str]:
    """A fault of a name that is none for a folder."""
    if len(name.encode()) > LONGEST:
        return [f"id: '{name[:40]}...' is no name for a folder: longer than {LONGEST} bytes"]
    if _DEVICE.fullmatch(name) or name.casefold() in TAKEN:
        return [f"id: '{name}' is no name for a folder here: it is kept for something else"]
    if not _NAME.fullmatch(name):
        return [f"id: {name!r} is no name for a folder; letters, digits, spaces, - _ and dots within will do"]
    return []


def shared_folders(rows: Sequence[Row]) -> list[tuple[str, list[int]]]:
    """Faults of ids that several rows have, or that differ in nothing by which every disk tells folders apart."""
    groups: dict[str, list[tuple[Row, str]]] = defaultdict(list)
    for row in (row for row in rows if row.fault is None):
        name = job_name(given(row))
        groups[unicodedata.normalize("NFC", name).casefold().rstrip(" .")].append((row, name))
    faults = []
    for group in (group for group in groups.values() if len(group) > 1):
        names = list(dict.fromkeys(name for _, name in group))
        same = f"id: '{names[0]}' stands more than once" if len(names) == 1 else f"id: {names} would share one folder"
        hint = "" if any("id" in row.cells for row, _ in group) else "; the rows are equal, give them ids"
        faults.append((same + hint, [row.number for row, _ in group]))
    return faults


def numbered(numbers: Sequence[int]) -> str:
    listed = ", ".join(map(str, numbers[:N_NAMED]))
    more = f" ... ({len(numbers)} rows)" if len(numbers) > N_NAMED else ""
    return f"row{'s' if len(numbers) > 1 else ''} {listed}{more}"

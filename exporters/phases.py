"""What an exporter is doing, for those who wait, and what it found, for those who read: `export.json` of a run.

{"mesh": {"figures": {"faces": 20000, ...}, "seconds": {"density": 3.1, "unwrap": 2.4}}, "turntable": ...}
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from core.files import read_json, write_json

RECORD = "export.json"


class Phases:
    """Shows a bar for each phase, where stderr is a terminal, and keeps how long it took."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, total: int | None = None) -> Iterator["tqdm[Any]"]:
        """Time one phase; yields a progress bar. Call `update()` per finished part, or, without a total, as a sign of
        life."""
        start = time.monotonic()
        label = f"{self.owner}: {name}"
        with tqdm(total=total, desc=label, leave=False, disable=None, dynamic_ncols=True) as bar:
            try:
                yield bar
            finally:
                self.seconds[name] = round(self.seconds.get(name, 0.0) + time.monotonic() - start, 2)


def keep_record(run_folder: Path, owner: str, figures: dict[str, Any], seconds: dict[str, float]) -> Path:
    """Put what an exporter found beside what the others did."""
    path = run_folder / RECORD
    record = {**read_record(run_folder), owner: {"figures": figures, "seconds": seconds}}
    write_json(path, record)
    return path


def read_record(run_folder: Path) -> dict[str, Any]:
    """What exporters have found so far; nothing where no exporter has run, or the file is no record."""
    record = read_json(run_folder / RECORD)
    kept = record if isinstance(record, dict) else {}
    return {owner: found for owner, found in kept.items() if _is_sound(found)}


def _is_sound(found: Any) -> bool:
    return isinstance(found, dict) and all(isinstance(found.get(part, {}), dict) for part in ("figures", "seconds"))

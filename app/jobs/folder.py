"""The folder of one job: an ordinary run, and beside it what the job was and how it ended.

    DIR/a-red-mushroom-1a2b3c/
        job.json        what it is made from; written first       log.txt      its worker's words
        done.json       how it ended well: the result is whole     failed.json  or badly
        thumbnail.png   ...                                        and what every run has

These files are the truth: results.jsonl, results.csv and index.html can be made of them at any time.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal, get_args

from app.inputs import content_digests
from app.parts import PackedRecipe
from core.errors import UserError
from core.files import read_json, write_json
from core.paths import map_paths
from core.recipe import Recipe
from core.setting_paths import plain

JOB, DONE, FAILED, LOG = "job.json", "done.json", "failed.json", "log.txt"
THUMBNAIL = "thumbnail.png"
#: How an attempt ends. All but the first two are the worker's end too: the job is tried once more, then `poisoned`.
Status = Literal["done", "failed", "diverged", "out of memory", "killed", "timeout", "poisoned"]
#: What the fields of a record are; a file may hold anything.
KINDS = {
    **dict.fromkeys(("id", "prompt", "status", "error", "host"), str),
    **dict.fromkeys(("row", "attempt"), int),
    **dict.fromkeys(("seconds", "figures", "digests"), dict),
    "peak_memory_gib": int | float,
}


@dataclass(frozen=True)
class Task:
    """A job as its worker is given it: plain values, which can travel."""

    id: str
    row: int
    """In the jobs file, from 1 on."""
    prompt: str
    """As it is shown."""
    folder: Path
    recipes: tuple[PackedRecipe, ...]
    """Of its stages, mostly one."""
    digests: dict[str, str]
    """Of row, recipe and inputs, see `digests_of`."""
    device: str = "auto"
    attempt: int = 1


@dataclass(frozen=True)
class Record:
    """How one attempt at a job ended: a line of results.jsonl."""

    id: str
    row: int
    prompt: str
    attempt: int
    status: Status
    error: str = ""
    """One line."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Altogether (`whole`), of its parts (`start`, `training`, `export`), and of the start what a new worker took to
    be ready (`cold`; 0 where it had done a job before)."""
    peak_memory_gib: float = 0.0
    """Of the worker's process; on a GPU, of the GPU."""
    figures: dict[str, Any] = field(default_factory=dict)
    """What exporters have measured, and the last loss."""
    host: str = ""
    digests: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, task: Task, status: Status, error: str = "", **more: Any) -> "Record":
        """How a task ended."""
        return cls(task.id, task.row, task.prompt, task.attempt, status, error, digests=task.digests, **more)


@dataclass(frozen=True)
class Contents:
    """What recipes read, known by what it holds and not by where it lies."""

    recipes: list[Any]
    """Plain, with names for paths."""
    inputs: dict[str, str]
    """Hashes of files and folders, by setting."""


def contents_of(recipes: Sequence[Recipe], known: dict[Path, str]) -> Contents:
    """Read all that recipes read.

    Args:
        known: hashes of files that have been read before; it is filled.
    """
    inputs: dict[str, str] = {}

    def content(key: str, value: Any) -> Any:
        if not isinstance(value, Path) or not value.is_absolute() or not value.exists():
            return value
        if value not in known:
            known[value] = _hash(content_digests(value))
        inputs[f"{len(inputs)} {key}"] = known[value]
        return Path(value.name)

    return Contents([plain(map_paths(each, content)) for each in recipes], inputs)


def digests_of(recipes: Sequence[Recipe], contents: Contents, row: Mapping[str, str]) -> dict[str, str]:
    """What tells whether a job is still what its folder was made for: hashes of row, recipe and inputs."""
    pairs = zip(contents.recipes, recipes, strict=True)
    own = [{**mapping, "prompt": recipe.prompt, "seed": recipe.seed} for mapping, recipe in pairs]
    return {"row": _hash(dict(row)), "recipe": _hash(own), "inputs": _hash(contents.inputs)}


def state_of(folder: Path) -> Literal["new", "begun", "done", "failed"]:
    """How far a job has come.

    Raises:
        UserError: the folder is there and is none of a job.
    """
    notes = [folder / name for name in (JOB, DONE, FAILED)]
    is_job = all(note.is_file() or not note.exists() for note in notes)
    if is_job and (record := read_record(folder)) is not None:
        return "done" if record.status == "done" else "failed"
    if is_job and any(note.is_file() for note in notes):
        return "begun"
    if folder.is_symlink() or (folder.exists() and (not folder.is_dir() or any(folder.iterdir()))):
        raise UserError(
            f"{folder} is there and is no folder of a job; give the row another id, or choose another --out"
        )
    return "new"


def begin(task: Task) -> None:
    """Make a job's folder, or take it up again; a failure that was noted there is forgotten."""
    task.folder.mkdir(parents=True, exist_ok=True)
    (task.folder / FAILED).unlink(missing_ok=True)
    write_json(task.folder / JOB, {"id": task.id, "row": task.row, "prompt": task.prompt, "digests": task.digests})


def finish(folder: Path, record: Record) -> None:
    """Note how a job ended."""
    write_json(folder / (DONE if record.status == "done" else FAILED), asdict(record))


def read_record(folder: Path) -> Record | None:
    """How a job ended; None where it has not, or nobody can read it."""
    done, failed = (_record(read_object(folder / name)) for name in (DONE, FAILED))
    return done if done is not None and done.status == "done" else failed


def unreadable(folder: Path) -> Path | None:
    """Of a job that is begun: what would say how it ended, but cannot be read."""
    return next((folder / name for name in (DONE, FAILED) if (folder / name).is_file()), None)


def digests_before(folder: Path) -> dict[str, Any]:
    """The hashes of what a folder was made for; nothing where nobody can read them."""
    for name in (JOB, DONE, FAILED):
        found = read_object(folder / name).get("digests")
        if isinstance(found, dict) and found:
            return found
    return {}


def read_object(path: Path) -> dict[str, Any]:
    """What a file holds; nothing where it is missing or no JSON object."""
    content = read_json(path)
    return content if isinstance(content, dict) else {}


def jobs_in(out: Path) -> list[Path]:
    """The folders of jobs, in the order of their rows."""
    folders = [path.parent for path in out.glob(f"*/{JOB}")]
    rows = {folder: read_object(folder / JOB).get("row") for folder in folders}
    return sorted(folders, key=lambda folder: (row if isinstance(row := rows[folder], int) else 0, folder.name))


def _record(mapping: Mapping[str, Any]) -> Record | None:
    """The record of those keys that it knows; None where others are missing, or it is none that we have written."""
    known = {each.name: mapping[each.name] for each in fields(Record) if each.name in mapping}
    is_ours = all(isinstance(value, KINDS[name]) for name, value in known.items())
    if not is_ours or known.get("status") not in get_args(Status):
        return None
    if not all(isinstance(value, int | float) for value in known.get("seconds", {}).values()):
        return None
    try:
        return Record(**known)
    except TypeError:
        return None


def _hash(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]

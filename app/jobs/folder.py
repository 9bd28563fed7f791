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
from typing import Any, Literal, TypeVar

from app.inputs import content_digests, copied_paths
from app.parts import PackedRecipe
from core.errors import UserError
from core.files import write_json
from core.paths import map_paths
from core.recipe import Recipe
from core.setting_paths import plain

JOB, DONE, FAILED, LOG = "job.json", "done.json", "failed.json", "log.txt"
THUMBNAIL = "thumbnail.png"
#: How an attempt ends. All but the first two are the worker's end too: the job is tried once more, then `poisoned`.
Status = Literal["done", "failed", "diverged", "out of memory", "killed", "timeout", "poisoned"]
#: Of a recipe, where paths are files that are read.
SECTIONS = ("system.", "exporters.")
T = TypeVar("T")


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
    if (folder / DONE).is_file():
        return "done"
    if (folder / FAILED).is_file():
        return "failed"
    if (folder / JOB).is_file():
        return "begun"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
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
    found = read_json(folder / DONE) or read_json(folder / FAILED)
    return _known(Record, found) if found else None


def read_json(path: Path) -> dict[str, Any]:
    """What a file holds; nothing where it is missing or no JSON object."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def jobs_in(out: Path) -> list[Path]:
    """The folders of jobs, in the order of their rows."""
    folders = [path.parent for path in out.glob(f"*/{JOB}")]
    return sorted(folders, key=lambda folder: (read_json(folder / JOB).get("row", 0), folder.name))


def inputs_missing(recipe: Recipe) -> list[str]:
    """One fault for each file or folder that a recipe reads and that is not there."""
    faults: list[str] = []
    there = copied_paths(recipe)

    def look(key: str, value: Any) -> Any:
        is_folder = isinstance(value, str) and value.startswith(("/", "./", "../", "~")) and key.startswith("system.")
        if is_folder and not Path(value).expanduser().is_dir():
            faults.append(f"{key}: {value}: no such folder")
        elif isinstance(value, Path) and value.is_absolute() and key.startswith(SECTIONS) and key not in there:
            faults.append(f"{key}: {value}: no such file")
        return value

    map_paths(recipe, look)
    return faults


def _known(cls: type[T], mapping: Mapping[str, Any]) -> T | None:
    """A dataclass of those keys that it knows; None where others are missing."""
    names = {each.name for each in fields(cls)}  # pyright: ignore[reportArgumentType]
    try:
        return cls(**{key: value for key, value in mapping.items() if key in names})
    except TypeError:
        return None


def _hash(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]

"""Files and folders that are whole or absent: nobody ever reads half of one, whenever the process is killed."""

import contextlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: The names that tempfile makes of the prefixes below.
_UNFINISHED = re.compile(r"\..+-[a-z0-9_]{8}(\.\w+)?")


def without_following(path: str | Path, flags: int) -> int:
    """An opener that follows no link and waits for no pipe.

    A folder that somebody has sent may hold one under a name that is written to: a link to a file of its new owner.

    Raises:
        OSError: it is a link.
    """
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; its content takes the name `path` in one move when the block ends well, else it is removed.

    The temporary file lies in the same folder (a move across disks is no single step) and keeps the suffix, from which
    many writers choose their format.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    unfinished = Path(name)
    try:
        yield unfinished
        _sync(unfinished)  # or a power cut may leave the new name on an empty file
        unfinished.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        unfinished.replace(path)
        _sync_names(path.parent)
    except OSError as error:
        error.filename = error.filename or str(path)  # a file that is written to does not say its name
        raise
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file, whole or not at all: bytes, or a text as UTF-8 with its line ends as they are."""
    with whole_file(path) as unfinished:
        unfinished.write_bytes(content.encode() if isinstance(content, str) else content)


def parse_json(content: str | bytes) -> Any:
    """What a JSON text holds.

    Raises:
        ValueError: it is none, or nested deeper than Python reads.
    """
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where it is missing or none."""
    try:
        return parse_json(path.read_bytes()) if path.is_file() else None  # a pipe would be waited for
    except (OSError, ValueError):
        return None


def write_json(path: Path, value: Any) -> None:
    """Write a value as indented JSON, whole or not at all."""
    write_whole(path, json.dumps(value, indent=1) + "\n")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill with files, which takes the name `path` when the block ends well, else it is removed.

    One that had the name before is removed. The folder around it must be there.
    """
    unfinished = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    former: Path | None = None
    try:
        yield unfinished
        for each in (*unfinished.rglob("*"), unfinished):
            _sync_names(each) if each.is_dir() else _sync(each)
        unfinished.chmod(0o777 & ~_umask())
        if path.exists():
            former = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
            path.replace(former)
        unfinished.replace(path)
        _sync_names(path.parent)
    finally:
        for rest in (unfinished, former):
            if rest is not None:
                shutil.rmtree(rest, ignore_errors=True)


def user_cache() -> Path:
    """Where things are kept that can be made again: `latent-nerf` in $XDG_CACHE_HOME, else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latent-nerf"


def sweep_unfinished(folder: Path) -> None:
    """Remove what was being written in a folder, and in those within it, when its process was killed.

    Nobody else may be writing there.
    """
    for place in (folder, *(each for each in folder.iterdir() if each.is_dir() and not each.is_symlink())):
        for path in place.iterdir():
            if _UNFINISHED.fullmatch(path.name):
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _sync(file: Path) -> None:
    with file.open("rb") as content:
        os.fsync(content.fileno())


def _sync_names(folder: Path) -> None:
    """Let the names in a folder outlast a power cut, as the contents do."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems know no such thing
            os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

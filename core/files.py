"""Files that are whole or absent: nobody ever reads half of one, whenever the process is killed."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
        with unfinished.open("rb") as file:
            os.fsync(file.fileno())  # or a power cut may leave the new name on an empty file
        unfinished.chmod(0o666 & ~_umask())  # mkstemp makes files that only their owner may read
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def user_cache() -> Path:
    """Where things are kept that can be made again: `latent-nerf` in $XDG_CACHE_HOME, else in ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "latent-nerf"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

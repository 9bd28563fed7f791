"""One process at a time works in a folder, and none writes through a link that somebody has put there."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import MachineError, UserError
from core.files import sweep_unfinished, without_following


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run folder; the lock ends with the process, however it ends.

    What a killed process was writing there is removed.

    Raises:
        UserError: something in the folder is a link, through which files elsewhere would be overwritten.
        MachineError: another process holds it; or the folder has been removed in the meantime.
    """
    refuse_links(folder)
    with open(folder / ".lock", "a+", encoding="utf-8", errors="replace", opener=without_following) as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read(200) or "unknown"
            raise MachineError(f"{folder}: another process works here (process {holder}); wait for it") from None
        lock.truncate(0)
        lock.write(f"{os.getpid()} on {socket.gethostname()}")
        lock.flush()
        sweep_unfinished(folder)
        yield
        if not (folder / ".lock").exists() or os.stat(folder / ".lock").st_ino != os.fstat(lock.fileno()).st_ino:
            raise MachineError(f"{folder}: the run's folder has been removed; what was written there is gone")


def refuse_links(folder: Path) -> None:
    """Refuse a run that holds links: what is written under their names would overwrite files elsewhere.

    Raises:
        UserError: naming the first.
    """
    for path in (*folder.iterdir(), *folder.glob("checkpoints/step-*")):
        if path.is_symlink() or (path.name == ".lock" and not path.is_file()):
            raise UserError(f"{path}: a link or no file; in a run's folder nothing is written through it: remove it")

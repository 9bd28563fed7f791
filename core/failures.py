"""What Python and its libraries raise where this machine lacks something, told in one line: what, where, what to do."""

import errno
import os
import re
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import MachineError, ProgramError, UserError
from core.memory import free_memory, in_units, is_out_of_memory

ROOT = Path(__file__).resolve().parents[1]
#: How much was asked for, in the words of torch and NumPy.
_ASKED_FOR = re.compile(r"allocate (\d+ bytes|[\d.]+ [KMGT]i?B)")
#: What the writers of torch and safetensors make of a disk that is full; neither raises an OSError.
_NO_SPACE = re.compile(r"PytorchStreamWriter failed|StorageFull|No space left on device|file write failed")
_ADVICE = {
    errno.ENOSPC: "free some space, or choose another place with --out",
    errno.EDQUOT: "free some of your quota, or choose another place with --out",
    errno.EFBIG: "this shell limits the size of files (ulimit -f); raise the limit",
    errno.EMFILE: "this shell limits the number of open files (ulimit -n); raise the limit",
    errno.EROFS: "choose a place that can be written to with --out",
    errno.EACCES: "change its permissions, or choose another place with --out",
    errno.EPERM: "change its permissions, or choose another place with --out",
}


def told(error: BaseException) -> UserError:
    """An exception as a UserError of one line; one that is a UserError already is given back."""
    if isinstance(error, UserError):
        return error
    text = " ".join(str(error).split())
    if is_out_of_memory(error):
        return MachineError(_memory(error, text))
    if isinstance(error, OSError):
        return MachineError(_system_call(error))
    if _NO_SPACE.search(text):
        return MachineError(f"{_place(error)}: a file could not be written to its end; {_ADVICE[errno.ENOSPC]}")
    kind = type(error).__name__
    return ProgramError(
        f"{_place(error)}: {kind}{': ' if text else ''}{text[:400]}. This is a fault of the program or of a plugin; "
        "--debug shows where it comes from"
    )


@contextmanager
def machine_told() -> Iterator[None]:
    """Within this block, what this machine lacks is raised as a MachineError; other errors are left as they are."""
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        line = told(error)
        if not isinstance(line, MachineError):
            raise
        raise line from error


def _memory(error: BaseException, text: str) -> str:
    found = _ASKED_FOR.search(text)
    amount = found[1] if found else "more"
    if amount.endswith("bytes"):
        amount = in_units(int(amount.split()[0]))
    device = "GPU memory" if "CUDA" in text else f"memory ({in_units(free_memory())} are free)"
    return (
        f"{_place(error)}: out of {device}: {amount} were asked for. Try fewer views (n_views or n_objects of "
        "system.views) or samples (samples_per_ray of system.renderer; of a mesh points_per_side), a smaller geometry "
        "or texture, or a machine with more memory"
    )


def _system_call(error: OSError) -> str:
    name = error.filename or error.filename2
    where = os.fsdecode(name) if isinstance(name, str | bytes) else _place(error)
    why = error.strerror or " ".join(str(error).split()) or type(error).__name__
    if error.errno in (errno.ENOSPC, errno.EDQUOT) and isinstance(name, str):
        why = f"{why} ({_free_space(Path(name))} left)"
    advice = _ADVICE.get(error.errno or 0)
    return f"{where}: {why[:400]}" + (f"; {advice}" if advice else "")


def _free_space(path: Path) -> str:
    for folder in path.parents:
        try:
            return in_units(shutil.disk_usage(folder).free)
        except OSError:
            continue
    return "nothing"


def _place(error: BaseException) -> str:
    """File and line where it happened: the innermost of ours or of a plugin, not one of a library."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename and "/lib/python" not in frame.filename]
    if not (own or frames):
        return "somewhere"
    frame = (own or frames)[-1]
    path = Path(frame.filename)
    return f"{path.relative_to(ROOT) if path.is_relative_to(ROOT) else path}:{frame.lineno}"

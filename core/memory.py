"""How much memory this process may use, and work that tries less at once where it does not get it."""

import errno
import logging
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from core.errors import require

if TYPE_CHECKING:  # the command line tells of errors before torch is imported
    from torch import Tensor

log = logging.getLogger(__name__)

T = TypeVar("T")
#: What torch and C++ say of memory that they do not get; on a CPU, torch raises a plain RuntimeError.
_NO_MEMORY = re.compile(
    r"out of memory|can't allocate memory|Unable to allocate|bad_alloc|Cannot allocate memory"
    r"|multiplication overflow|Storage size calculation overflowed",
    re.I,
)
#: Where Linux tells a process in a container what it may use, in cgroups of version 2 and 1.
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
#: Least bytes of what many settings count: a sample along a ray with its gradient, a view's rays, a picture's pixels.
SAMPLE, VIEW, PICTURE = 64, 2**19, 2**18
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB")


def usable_memory() -> int:
    """Bytes that this process can ever use: the machine's memory, or less where a limit is set."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    if (limit := resource.getrlimit(resource.RLIMIT_AS)[0]) != resource.RLIM_INFINITY:
        limits.append(limit)
    limits += [int(text) for text in map(_text, _CGROUP_LIMITS) if text.isdigit()]
    return min(limits)


def free_memory() -> int:
    """Bytes that can be had now without taking them from another process."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", _text("/proc/meminfo"))
    return min(usable_memory(), int(found[1]) * 1024 if found else usable_memory())


def require_memory(setting: str, value: object, n_bytes: int | float) -> None:
    """Refuse a setting that could not be met with all the memory of this machine.

    Args:
        setting: its name, which the error begins with.
        n_bytes: the least that it takes.

    Raises:
        UserError: it needs more than this machine has.
    """
    most = usable_memory()
    has = f"{value} would take {in_units(n_bytes)} of memory, and this machine has {in_units(most)}"
    require(n_bytes <= most, f"{setting}: {has}; give less")


def require_size(setting: str, value: int, n_bytes: int | float, least: int = 1) -> None:
    """Refuse a count or a width that is too small, or that no memory of this machine can meet.

    Args:
        setting: its name, which the error begins with.
        n_bytes: the least that it takes, in the smallest use that it has.

    Raises:
        UserError: naming the setting and the bound.
    """
    require(value >= least, f"{setting}: at least {least}, got {value}")
    require_memory(setting, value, n_bytes)


def in_units(n_bytes: int | float) -> str:
    """An amount for people: "3.2 GiB"."""
    power = 0
    while n_bytes >= 1024 and power < len(_UNITS) - 1:
        n_bytes, power = n_bytes / 1024, power + 1
    return f"{n_bytes:.4g} {_UNITS[power]}"


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was asked for that there is not, on the CPU or on a GPU."""
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and bool(_NO_MEMORY.search(str(error))))


def with_less_memory(work: Callable[[], T], take_less: Callable[[], str]) -> T:
    """The result of `work`; where memory runs out, `take_less` is called, and `work` tried once more.

    Args:
        take_less: makes the next try take less memory, and says how, for the log; empty where it cannot.
    """
    try:
        return work()
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error) or not (how := take_less()):
            raise
    import torch  # what the first try has left is freed by now, with its exception

    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
    log.warning("out of memory; trying once more %s, which takes longer", how)
    return work()


def with_less_at_once(work: Callable[[int], T], at_once: int) -> T:
    """The result of work that is done in pieces: where memory runs out, tried once more with pieces a quarter the size.

    Args:
        work: takes how much it may do at once; its result does not depend on that.
    """
    now = at_once

    def take_less() -> str:
        nonlocal now
        now = max(1, at_once // 4)
        return f"with {now} at once, not {at_once}" if at_once > 1 else ""

    return with_less_memory(lambda: work(now), take_less)


def recomputed(work: Callable[["Tensor"], T], rows: "Tensor", at_once: int) -> list[T]:
    """Apply `work` to pieces of `at_once` rows; what it computes on the way is not kept but computed anew in backward.

    Source: Chen et al., Training Deep Nets with Sublinear Memory Cost (arXiv:1604.06174).
    """
    from torch.utils.checkpoint import checkpoint

    return [checkpoint(work, piece, use_reentrant=False) for piece in rows.split(at_once)]


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return ""

"""What this machine can do and has done: the device, the precision, room for runs, the memory that was used."""

import os
import resource
import shutil
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import torch

from core.errors import MachineError, UserError
from core.memory import in_units

Device = Literal["cpu", "cuda"]


def resolve_device(wanted: str, n_devices: int = 1) -> Device:
    """The device of this process: a GPU with `auto` where there is one.

    Raises:
        MachineError: `cuda` was asked for and cannot be had; or there are fewer GPUs than are to train one object.
    """
    if wanted == "cuda" and not torch.cuda.is_available():
        raise MachineError(
            "--device cuda: torch sees no CUDA device here; use --device cpu, or install a CUDA build of torch"
        )
    device = "cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu"
    if device == "cuda" and n_devices > torch.cuda.device_count():
        raise MachineError(f"trainer.devices: {n_devices}, and torch sees {torch.cuda.device_count()} GPUs here")
    return device


def resolve_precision(wanted: str, device: Device) -> Any:
    """Lightning's name of the precision; `auto` is mixed half precision on a GPU, single precision on a CPU.

    Raises:
        UserError: float16 on a CPU, where gradients cannot be scaled.
    """
    if wanted == "auto":
        return "16-mixed" if device == "cuda" else "32-true"
    if wanted == "16-mixed" and device == "cpu":
        raise UserError("trainer.precision: '16-mixed' needs a GPU; on a CPU use '32-true' or 'bf16-mixed'")
    return wanted


def check_out(out: Path, needed: int) -> None:
    """Refuse a place for new runs where no folder can be made, or that has no room for a run's checkpoints.

    Args:
        needed: bytes.

    Raises:
        UserError: it is a file, or leads through one.
        MachineError: no permission, a file system that is read-only or no real one, too little space.
    """
    place = next(folder for folder in (out, *out.absolute().parents) if os.path.lexists(folder))
    if not place.is_dir():
        raise UserError(f"--out: {place} is a file; give a folder, which new runs go into")
    try:
        os.rmdir(tempfile.mkdtemp(prefix=".probe-", dir=place))
        free = shutil.disk_usage(place).free
    except OSError as error:
        raise MachineError(f"--out: {out}: no folder can be made there: {error.strerror}; give another one") from error
    if free < needed:
        room = f"{in_units(needed)} for the checkpoints of this recipe, and {in_units(free)} are left on that disk"
        raise MachineError(f"--out: {out}: needs {room}; free some, or give another folder")


def forget_peak_memory() -> None:
    """Begin to count anew, where the system can: a worker's jobs have peaks of their own."""
    if torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_gib(of_gpu: bool = True) -> float:
    """The most memory that was held since it was last forgotten: of the GPU, where one is used, or of this process."""
    if of_gpu and torch.cuda.is_initialized():
        return round(torch.cuda.max_memory_allocated() / 2**30, 3)
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peaks = [int(line.split()[1]) / 2**20 for line in lines if line.startswith("VmHWM")]
    unit = 2**30 if sys.platform == "darwin" else 2**20  # getrusage counts bytes on macOS, KiB elsewhere
    return round(peaks[0] if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit, 3)

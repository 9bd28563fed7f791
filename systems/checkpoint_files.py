"""Checkpoints on disk: whole or absent, and checked when they are read.

checkpoints/step-000250/weights.safetensors    the parameters
checkpoints/step-000250/state.ckpt             the rest: Adam, step, occupancy, counters; read as plain data
checkpoints/step-000250/SHA256SUMS             digests of both, as `sha256sum --check` takes them
checkpoints/last.ckpt                          a link to the newest state.ckpt
"""

import contextlib
import io
import logging
import pickle
import re
import shutil
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from lightning.fabric.plugins import CheckpointIO
from safetensors import SafetensorError
from torch import Tensor

from core.errors import DivergedError, MachineError, UserError
from core.files import whole_folder

log = logging.getLogger(__name__)

CHECKPOINT = Path("checkpoints/last.ckpt")
WEIGHTS, STATE, SUMS = "weights.safetensors", "state.ckpt", "SHA256SUMS"
_NAME = re.compile(r"step-(\d{6,})")


class CheckpointFiles(CheckpointIO):
    """How Lightning writes and reads a checkpoint: what it has under "weights" goes into a file of its own."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write a checkpoint to a new folder.

        Raises:
            DivergedError: there are weights that are not finite.
            MachineError: it cannot be written; nothing of it is left.
        """
        path = Path(path)
        weights: dict[str, Tensor] = {name: _own(value) for name, value in checkpoint.pop("weights", {}).items()}
        for name, value in weights.items():
            if not value.isfinite().all():
                raise DivergedError(f"step {checkpoint['global_step']}: {name} has values that are not finite")
        state = io.BytesIO()  # torch and safetensors say too little when a disk is full
        torch.save(checkpoint, state)
        contents = {WEIGHTS: safetensors.torch.save(weights), STATE: state.getvalue()}
        sums = "".join(f"{sha256(content).hexdigest()}  {name}\n" for name, content in contents.items())
        try:
            path.parent.mkdir(exist_ok=True)
            with whole_folder(path) as folder:
                for name, content in {**contents, SUMS: sums.encode()}.items():
                    (folder / name).write_bytes(content)
            _point(path.parent / CHECKPOINT.name, path / STATE)
        except OSError as error:
            raise MachineError(_why(path, error, sum(map(len, contents.values())))) from error

    def load_checkpoint(
        self, path: str | Path, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """See `read_checkpoint`; it is read as plain data in any case."""
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        """Remove a checkpoint."""
        shutil.rmtree(path, ignore_errors=True)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What was saved, on the CPU, all parameters and buffers under "state_dict".

    Args:
        path: of the checkpoint's folder, or of a file in it.

    Raises:
        UserError: it is broken.
    """
    folder = checkpoint_of(path)
    if fault := fault_of(folder):
        raise UserError(f"{path}: not a readable checkpoint: {fault}")
    try:
        content = torch.load(folder / STATE, map_location="cpu", weights_only=True)
        content["state_dict"].update(safetensors.torch.load_file(folder / WEIGHTS))
        int(content["global_step"])
    except (OSError, EOFError, KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: not a readable checkpoint: {type(error).__name__}") from error
    except (pickle.UnpicklingError, SafetensorError) as error:
        raise UserError(f"{path}: not a readable checkpoint: it holds more than plain numbers and names") from error
    return content


def checkpoint_of(path: Path) -> Path:
    """The folder of a checkpoint that a path to it, or into it, means."""
    path = path.resolve()
    return path.parent if path.is_file() else path


def checkpoint_path(run_folder: Path, step: int) -> Path:
    """Where the checkpoint after so many steps is."""
    return run_folder / CHECKPOINT.parent / f"step-{step:06d}"


def step_of(checkpoint: Path) -> int:
    """The number of steps after which a checkpoint was written, by its name; -1 for what is none."""
    match = _NAME.fullmatch(checkpoint.name)
    return int(match[1]) if match else -1


def checkpoints_of(run_folder: Path) -> list[Path]:
    """All checkpoints of a run, broken ones too, the newest first; what is still being written is none."""
    found = (run_folder / CHECKPOINT.parent).glob("step-*")
    there = (path for path in found if step_of(path) >= 0 and path.is_dir() and not path.is_symlink())
    return sorted(there, key=step_of, reverse=True)


def newest_whole(run_folder: Path) -> Path | None:
    """The newest checkpoint of a run that is whole; broken ones before it are named in the log. None: there is none.

    Raises:
        UserError: there are checkpoints and all of them are broken, or they are of another form.
    """
    faults: list[str] = []
    for path in checkpoints_of(run_folder):
        fault = fault_of(path)
        if fault is None:
            for each in faults:
                log.warning("%s; going on from the one before, %s", each, path.name)
            return path
        faults.append(f"{path}: a broken checkpoint: {fault}")
    former = run_folder / CHECKPOINT
    if not faults and former.is_file() and not former.is_symlink():
        faults = [f"{former}: written by a version before runs had {SUMS}; export it with that version, or train anew"]
    if faults:
        raise UserError("\n".join(faults))
    return None


def fault_of(checkpoint: Path) -> str | None:
    """What is broken in a checkpoint; None where its files are those that were written.

    Raises:
        MachineError: it may not be read.
    """
    try:
        for name in (SUMS, WEIGHTS, STATE):
            if not (checkpoint / name).is_file():
                return f"{name} is missing"
        sums = "".join(f"{_digest(checkpoint / name)}  {name}\n" for name in (WEIGHTS, STATE))
        kept = (checkpoint / SUMS).read_bytes()
    except PermissionError as error:
        raise MachineError(f"{error.filename}: cannot be read: {error.strerror}; change its permissions") from error
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    return None if kept == sums.encode() else f"its files are not those that {SUMS} was written for"


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()


def _own(value: Tensor) -> Tensor:
    """A copy in memory of its own, as safetensors wants it."""
    return value.detach().cpu().clone(memory_format=torch.contiguous_format)


def _point(link: Path, target: Path) -> None:
    """Let a link name a file below it, in one move; there is none on a file system without links."""
    new = link.with_name(f".{link.stem}-new_link{link.suffix}")
    with contextlib.suppress(OSError):
        new.unlink(missing_ok=True)
        new.symlink_to(target.relative_to(link.parent))
        new.replace(link)


def _why(path: Path, error: OSError, n_bytes: int) -> str:
    run_folder = path.parent.parent
    if not run_folder.is_dir():
        return f"{run_folder}: the run's folder has been removed while it was trained; nothing more can be saved"
    go_on = f"go on with: python launch.py --resume {run_folder}" if checkpoints_of(run_folder) else "start again"
    takes, free = (f"{n / 1e6:.1f} MB" for n in (n_bytes, shutil.disk_usage(run_folder).free))
    return (
        f"{path}: cannot be written: {error.strerror or error}. It takes {takes}, and {free} are free. "
        f"Make room, then {go_on}"
    )

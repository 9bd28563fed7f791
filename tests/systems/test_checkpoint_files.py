"""Checkpoints on disk: what is read is what was written, or it is refused."""

import logging
import os
import pickle
import random
import resource
import subprocess
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from core.errors import DivergedError, MachineError, UserError
from systems.checkpoint_files import (
    STATE,
    SUMS,
    WEIGHTS,
    CheckpointFiles,
    checkpoint_path,
    checkpoints_of,
    fault_of,
    newest_whole,
    read_checkpoint,
)


def content(step: int) -> dict[str, Any]:
    """What a training hands over, small."""
    state = {"occupied": torch.tensor([True, False])}
    weights = {"field.grid": torch.arange(6.0).reshape(2, 3).T + step}  # not contiguous
    moments = [{"exp_avg": torch.full((2,), 0.5)}]
    return {"global_step": step, "state_dict": state, "weights": weights, "optimizer_states": moments}


def save(run: Path, step: int, changes: dict[str, Any] | None = None) -> Path:
    path = checkpoint_path(run, step)
    CheckpointFiles().save_checkpoint({**content(step), **(changes or {})}, path)
    return path


def test_what_is_read_is_what_was_written(tmp_path: Path) -> None:
    path = save(tmp_path, 7)
    read = read_checkpoint(path)
    assert read["global_step"] == 7
    assert torch.equal(read["state_dict"]["field.grid"], content(7)["weights"]["field.grid"])
    assert torch.equal(read["state_dict"]["occupied"], torch.tensor([True, False]))
    assert torch.equal(read["optimizer_states"][0]["exp_avg"], torch.full((2,), 0.5))
    assert list(load_file(path / WEIGHTS)) == ["field.grid"], "the weights stand alone"
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 7


def test_the_digests_are_those_of_sha256sum(tmp_path: Path) -> None:
    path = save(tmp_path, 7)
    checked = subprocess.run(["sha256sum", "--check", SUMS], cwd=path, capture_output=True, text=True, check=True)
    assert checked.stdout.splitlines() == [f"{WEIGHTS}: OK", f"{STATE}: OK"]


@pytest.mark.fault("a checkpoint's files are cut off at any length", "it is known to be broken")
def test_all_truncations(tmp_path: Path) -> None:
    path = save(tmp_path, 7)
    for name in (WEIGHTS, STATE, SUMS):
        whole = (path / name).read_bytes()
        for length in range(len(whole)):
            (path / name).write_bytes(whole[:length])
            assert fault_of(path), f"{name} cut to {length}"
        (path / name).write_bytes(whole)
    assert fault_of(path) is None


@pytest.mark.fault(
    "200 flipped bits in the newest checkpoint", "it is named, and the training goes on from the one before"
)
def test_flipped_bits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    older, newer = save(tmp_path, 7), save(tmp_path, 9)
    rng = random.Random(0)
    for _ in range(200):
        file = newer / rng.choice([WEIGHTS, STATE, SUMS])
        whole = file.read_bytes()
        flipped = bytearray(whole)
        flipped[rng.randrange(len(whole))] ^= 1 << rng.randrange(8)
        file.write_bytes(flipped)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            assert newest_whole(tmp_path) == older
        assert (
            "step-000009: a broken checkpoint: its files are not those that SHA256SUMS was written for" in caplog.text
        )
        with pytest.raises(UserError, match="step-000009: not a readable checkpoint"):
            read_checkpoint(newer)
        file.write_bytes(whole)
    assert newest_whole(tmp_path) == newer


@pytest.mark.parametrize("name", [WEIGHTS, STATE, SUMS])
@pytest.mark.parametrize("instead", ["nothing", "a pipe", "a dangling link", "a folder"])
def test_what_is_no_file_is_broken_and_never_waited_for(tmp_path: Path, name: str, instead: str) -> None:
    path = save(tmp_path, 7)
    (path / name).unlink()
    if instead == "a pipe":
        os.mkfifo(path / name)
    elif instead == "a dangling link":
        (path / name).symlink_to("nowhere")
    elif instead == "a folder":
        (path / name).mkdir()
    assert fault_of(path) == f"{name} is missing"
    with pytest.raises(UserError, match=f"step-000007: a broken checkpoint: {name} is missing"):
        newest_whole(tmp_path)


def test_one_that_may_not_be_read_is_no_broken_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path, 7)

    def refuse(file: Path, *_: Any) -> None:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        MachineError, match=r"step-000007/weights.safetensors: cannot be read: Permission denied; change"
    ):
        fault_of(path)


class Planted:
    """Would make a file when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch planted",)


@pytest.mark.fault("a pickled program in a checkpoint of somebody else's", "it is refused and does not run")
def test_a_planted_pickle_never_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path, 7)
    for planted in (lambda file: torch.save({"state_dict": {}, "x": Planted()}, file), _pickle):
        planted(path / STATE)
        sums = "".join(f"{sha256((path / name).read_bytes()).hexdigest()}  {name}\n" for name in (WEIGHTS, STATE))
        (path / SUMS).write_text(sums)
        assert fault_of(path) is None, "its digests are right"
        with pytest.raises(UserError, match="step-000007: not a readable checkpoint"):
            read_checkpoint(path)
    assert not (tmp_path / "planted").exists()


def _pickle(file: Path) -> None:
    file.write_bytes(pickle.dumps(Planted(), protocol=2))


@pytest.mark.fault("weights that are not finite", "they are never written; the checkpoint before stays")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_poisoned_weights_are_not_saved(tmp_path: Path, value: float) -> None:
    save(tmp_path, 7)
    with pytest.raises(DivergedError, match=r"step 9: field\.grid has values that are not finite"):
        save(tmp_path, 9, {"weights": {"field.grid": torch.tensor([1.0, value])}})
    assert [path.name for path in checkpoints_of(tmp_path)] == ["step-000007"]


@pytest.mark.fault(
    "a limit on the size of files, as a full disk would be",
    "one line with the bytes; the checkpoint before stays whole",
)
def test_a_disk_that_is_full(tmp_path: Path) -> None:
    older = save(tmp_path, 7)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    try:
        with pytest.raises(MachineError, match=r"step-000009: cannot be written: .*It takes 0\.\d MB, and .* are free"):
            save(tmp_path, 9, {"weights": {"field.grid": torch.zeros(40_000)}})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert newest_whole(tmp_path) == older
    assert sorted(path.name for path in older.parent.iterdir()) == ["last.ckpt", "step-000007"]


def test_a_broken_checkpoint_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    path = save(tmp_path, 7)
    (path / STATE).unlink()
    assert save(tmp_path, 7) == path
    assert newest_whole(tmp_path) == path
    assert sorted(each.name for each in path.parent.iterdir()) == ["last.ckpt", "step-000007"]

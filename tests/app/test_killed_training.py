"""A training that is killed at any moment goes on from its newest whole checkpoint, and ends as if nothing had been."""

import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from systems.checkpoint_files import checkpoints_of, newest_whole, read_checkpoint, step_of
from tests.app.children import Child, only_run, train

N_KILLS = int(os.environ.get("FAULT_KILLS", "100"))
#: More than it comes to with all kills: each lets few checkpoints be written.
N_STEPS = 8 * N_KILLS
#: A field of 2 MB with Adam's moments, or a checkpoint would be written too fast to be hit.
FIELD = ["system.geometry.log2_table_size=15", "system.geometry.finest_resolution=128"]


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    """A folder on another file system than the temporary folder's, where the machine has one."""
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path))
    yield folder
    shutil.rmtree(folder)


def leftovers(run: Path) -> list[str]:
    return [path.name for path in run.rglob(".*") if path.name not in (".lock", ".exported")]


@pytest.mark.fault(
    f"kill -9 at {N_KILLS} random moments while checkpoints are written, on another disk than the temporary folder's",
    "each start goes on from the newest whole one, nothing is left over; it ends bitwise as undisturbed, Adam included",
)
def test_whenever_it_is_killed_it_ends_the_same(tmp_path: Path, elsewhere: Path) -> None:
    words = [f"trainer.max_steps={N_STEPS}", *FIELD]
    undisturbed = Child(train(tmp_path / "whole", *words), tmp_path / "whole.txt")
    rng = random.Random(0)
    reached, n_unfinished = -1, 0
    for turn in range(N_KILLS):
        child = Child(train(elsewhere, *words, "--resume", "auto"), tmp_path / f"{turn}.txt")
        enough = reached + rng.randint(0, 2)
        child.until(lambda: newest_step(elsewhere) >= enough)  # noqa: B023
        child.until(lambda: is_writing(elsewhere), poll_seconds=0)
        time.sleep(rng.uniform(0, 0.003))
        child.send(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, child.said
        run = only_run(elsewhere)
        n_unfinished += bool(leftovers(run))
        before, reached = reached, step_of(newest_whole(run) or run)
        assert reached >= before, "a step was lost"
    assert n_unfinished > N_KILLS // 20, "few were killed while they wrote"
    last = Child(train(elsewhere, *words, "--resume", "auto"), tmp_path / "last.txt")
    assert (last.wait(), undisturbed.wait()) == (0, 0), last.said
    run = only_run(elsewhere)
    assert leftovers(run) == []
    assert [step_of(path) for path in checkpoints_of(run)] == [N_STEPS, N_STEPS - 1]
    assert_same(read_checkpoint(checkpoints_of(run)[0]), read_checkpoint(run_checkpoint(tmp_path / "whole")))


def newest_step(out: Path) -> int:
    """Of all checkpoints in a folder of runs; -1 before the first."""
    return max(map(step_of, out.glob("*/checkpoints/step-*")), default=-1)


def is_writing(out: Path) -> bool:
    return any(name.startswith(".") for folder in out.glob("*/checkpoints") for name in os.listdir(folder))


def run_checkpoint(out: Path) -> Path:
    return checkpoints_of(only_run(out))[0]


def assert_same(ours: object, theirs: object, where: str = "") -> None:
    """Two checkpoints hold the same numbers, bit for bit; how often the loops were begun may differ."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        assert ours.keys() == theirs.keys(), where
        for key in ours.keys() - {"loops", "epoch"}:
            assert_same(ours[key], theirs[key], f"{where}/{key}")
    elif isinstance(ours, list | tuple) and isinstance(theirs, list | tuple):
        for i, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(one, other, f"{where}/{i}")
    elif isinstance(ours, torch.Tensor) and isinstance(theirs, torch.Tensor):
        assert torch.equal(ours, theirs), where
    else:
        assert ours == theirs, where

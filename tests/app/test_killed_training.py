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
N_STEPS = 3 * N_KILLS


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
    undisturbed = Child(train(tmp_path / "whole", f"trainer.max_steps={N_STEPS}"), tmp_path / "whole.txt")
    rng = random.Random(0)
    reached = -1
    for turn in range(N_KILLS):
        words = train(elsewhere, f"trainer.max_steps={N_STEPS}", "--resume", "auto")
        child = Child(words, tmp_path / f"{turn}.txt")
        child.until(lambda: f"{'Going on in' if reached > 0 else 'Writing to'}" in child.said)  # noqa: B023
        time.sleep(rng.uniform(0, 0.4))
        child.send(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL, child.said
        run = only_run(elsewhere)
        checkpoint = newest_whole(run)
        before, reached = reached, step_of(checkpoint) if checkpoint else -1
        assert reached >= before, "a step was lost"
        if checkpoint is None:  # killed before the first one: such a run is none
            shutil.rmtree(run)
        if reached >= N_STEPS - 4:
            break
    last = Child(train(elsewhere, f"trainer.max_steps={N_STEPS}", "--resume", "auto"), tmp_path / "last.txt")
    assert (last.wait(), undisturbed.wait()) == (0, 0), last.said
    run = only_run(elsewhere)
    assert leftovers(run) == []
    assert [step_of(path) for path in checkpoints_of(run)] == [N_STEPS, N_STEPS - 1]
    assert_same(read_checkpoint(checkpoints_of(run)[0]), read_checkpoint(run_checkpoint(tmp_path / "whole")))


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

"""A training that is no longer finite goes back once, then ends with exit code 4; what is on disk is good."""

from pathlib import Path

import pytest

from exporters.curves import read_metrics
from systems.checkpoint_files import checkpoints_of, read_checkpoint, step_of
from tests.app.children import Child, only_run, train


def finite_checkpoints(run: Path) -> list[int]:
    """The steps of all checkpoints, none of which holds a weight that is not finite."""
    for path in checkpoints_of(run):
        assert all(bool(each.isfinite().all()) for each in read_checkpoint(path)["state_dict"].values())
    return [step_of(path) for path in checkpoints_of(run)]


@pytest.mark.fault("one loss or gradient that is not finite", "its step is skipped and counted, exit code 0")
@pytest.mark.parametrize("kind", ["nan-loss-once", "nan-gradient-once", "infinite-loss-once"])
def test_once(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "runs"
    child = Child(train(out, "trainer.max_steps=10"), tmp_path / "said.txt", {"FAULT": f"{kind}:4"})
    assert child.wait() == 0, child.said
    assert child.said.count("is skipped: its loss or gradient is not finite") == 1
    assert finite_checkpoints(only_run(out)) == [10, 9]
    assert read_metrics(only_run(out) / "metrics.csv").columns["skipped_steps"] == [0, 1]


@pytest.mark.fault(
    "losses or gradients that stay not finite",
    "it goes back to the last checkpoint once, with other random numbers, then exit code 4 and what to try",
)
@pytest.mark.parametrize("kind", ["nan-loss", "nan-gradient"])
def test_lasting(tmp_path: Path, kind: str) -> None:
    out = tmp_path / "runs"
    words = train(out, "trainer.max_steps=20", "trainer.checkpoint_every=3")
    child = Child(words, tmp_path / "said.txt", {"FAULT": f"{kind}:4"})
    assert child.wait() == 4, child.said
    assert child.said.count("going back to step 6, and on with other random numbers") == 1
    last = child.said.splitlines()[-1]
    assert last.startswith("error: step 8: the loss or its gradient is not finite, 3 times in a row, also after going")
    assert last.endswith(f"python launch.py --resume {only_run(out)} --allow-changed KEY=VALUE")
    assert "Traceback" not in child.said
    assert finite_checkpoints(only_run(out)) == [6, 3]

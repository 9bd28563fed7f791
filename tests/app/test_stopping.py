"""Signals in every phase of a command: it ends clean within ten seconds, with the signal's code."""

import signal
import time
from pathlib import Path

import pytest

from systems.checkpoint_files import newest_whole, read_checkpoint, step_of
from tests.app.children import Child, only_run, train
from tests.app.test_killed_training import assert_same, leftovers, run_checkpoint

CODES = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGXCPU, 152)]
#: What ten seconds may become where others keep the processors busy.
LATE_SECONDS = 40.0


def steps_done(out: Path) -> int:
    """Of the only run in a folder: by its newest whole checkpoint; -1 before the first."""
    runs = list(out.glob("*"))
    checkpoint = newest_whole(runs[0]) if runs else None
    return step_of(checkpoint) if checkpoint else -1


@pytest.mark.fault(
    "Ctrl-C, SIGTERM, SIGHUP, SIGXCPU in a training",
    "it is saved after the step, ends with the signal's code, and goes on bitwise as undisturbed",
)
@pytest.mark.parametrize(("number", "code"), CODES)
def test_a_signal_in_a_training(tmp_path: Path, number: signal.Signals, code: int) -> None:
    words = ["trainer.max_steps=12", "trainer.checkpoint_every=0"]
    stopped = Child(train(tmp_path / "a", *words), tmp_path / "a.txt", {"STEP_SECONDS": "0.3"})
    whole = Child(train(tmp_path / "b", *words), tmp_path / "b.txt")
    stopped.until(lambda: "step 3/12" in stopped.said)
    stopped.send(number)
    assert stopped.wait() == code, stopped.said
    run = only_run(tmp_path / "a")
    step = steps_done(tmp_path / "a")
    assert 3 <= step < 12
    assert (
        f"Stopped at step {step} of 12; the checkpoint is saved. Go on with: python launch.py --resume" in stopped.said
    )
    resumed = Child(["--resume", str(run)], tmp_path / "c.txt")
    assert (resumed.wait(), whole.wait()) == (0, 0), resumed.said
    assert_same(read_checkpoint(run_checkpoint(tmp_path / "a")), read_checkpoint(run_checkpoint(tmp_path / "b")))


@pytest.mark.fault(
    "a signal in a step of minutes", "the step is given up, the steps before it are saved; it ends in ten seconds"
)
def test_a_signal_in_a_slow_step(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    child = Child(train(out, "trainer.checkpoint_every=0"), tmp_path / "slow.txt", {"STEP_SECONDS": "300"})
    child.until(lambda: "waiting" in child.said)
    child.send(signal.SIGTERM)
    began = time.monotonic()
    assert child.wait() == 143, child.said
    assert time.monotonic() - began < LATE_SECONDS
    assert steps_done(out) == 0
    assert leftovers(only_run(out)) == []


@pytest.mark.fault("two signals in a training", "it ends at once with the signal's code; each file is whole or absent")
@pytest.mark.parametrize(("number", "code"), CODES[:2])
def test_two_signals(tmp_path: Path, number: signal.Signals, code: int) -> None:
    out = tmp_path / "runs"
    child = Child(train(out), tmp_path / "said.txt", {"STEP_SECONDS": "300"})
    child.until(lambda: "waiting" in child.said)
    child.send(number)
    time.sleep(0.5)
    child.send(number)
    began = time.monotonic()
    assert child.wait() == code, child.said
    assert time.monotonic() - began < 5
    assert "Stopped at once; what had been saved before is untouched." in child.said
    assert steps_done(out) == 0


@pytest.mark.fault("SIGUSR1 in a training", "it is saved after the step, and goes on to its end")
def test_a_wish_to_save(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    words = train(out, "trainer.max_steps=14", "trainer.checkpoint_every=0")
    child = Child(words, tmp_path / "said.txt", {"STEP_SECONDS": "0.2"})
    child.until(lambda: "step 2/14" in child.said)
    child.send(signal.SIGUSR1)
    child.until(lambda: "is saved, as was asked for" in child.said)
    assert 2 <= steps_done(out) < 14
    assert child.wait() == 0, child.said
    assert steps_done(out) == 14


@pytest.mark.fault("a signal before the first step", "it ends with the signal's code, and no half-made run is left")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_start_up(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "runs"
    child = Child(train(out), tmp_path / "said.txt", {"PREPARE_SECONDS": "300"})
    child.until(lambda: "waiting" in child.said)
    assert list(out.glob("*/prompt.txt")) != []
    child.send(number)
    assert child.wait() == 128 + number, child.said
    assert not out.exists()


@pytest.mark.fault("a signal in an export", "it ends with the signal's code; the same export afterwards works")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_an_export(tmp_path: Path, number: signal.Signals) -> None:
    out = tmp_path / "runs"
    words = train(out, "trainer.max_steps=2", "exporters=[{type: contact-sheet}]")
    child = Child(words, tmp_path / "said.txt", {"DECODE_SECONDS": "300"})
    child.until(lambda: "waiting" in child.said)
    child.send(number)
    assert child.wait() == 128 + number, child.said
    run = only_run(out)
    assert f"All steps are done. Go on with: python launch.py --resume {run}" in child.said
    assert leftovers(run) == []
    again = Child(["--export", str(run)], tmp_path / "again.txt")
    assert again.wait() == 0, again.said
    assert (run / "contact_sheet.png").stat().st_size > 0

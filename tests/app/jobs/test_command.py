"""`launch.py --jobs` as a whole, with workers that are processes: results, resume, and jobs that do harm."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.cli import main
from app.jobs.checking import Job
from app.jobs.command import JobsRequest, _ending, carry_out_jobs
from app.jobs.folder import Record
from app.jobs.table import Row
from app.lock import locked
from app.stopping import Stop
from tests.app.jobs.small_jobs import command, lines_of, write_jobs, write_recipe
from tests.app.small_command import ROOT

TROUBLE = "system.losses.trouble.how"


def run(recipe: Path, rows: list[dict[str, Any]], out: Path, *more: str) -> int:
    return main(command(recipe, write_jobs(recipe.parent / "jobs.csv", rows), out, *more))


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of jobs that take a moment."""
    return write_recipe(tmp_path_factory.mktemp("recipe"))


def test_rows_become_runs_a_table_and_a_page_and_again_is_nothing(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": f"r{i}", "prompt": f"a ball, {i}", "seed": i} for i in range(3)]
    assert run(recipe, rows, tmp_path / "out", "--workers", "1") == 0
    said = capsys.readouterr()
    assert "3 done (0 earlier), 0 failed" in said.out
    assert "s cold and" in said.out
    assert [line.split()[:3] for line in said.err.splitlines() if line.startswith("[")] == [
        [f"[{i + 1}/3]", "done", f"r{i}"] for i in range(3)
    ]
    for i in range(3):
        folder = tmp_path / "out" / f"r{i}"
        assert {"recipe.yaml", "contact_sheet.png", "thumbnail.png", "done.json", "log.txt"} <= set(os.listdir(folder))
        assert (folder / "prompt.txt").read_text() == f"a ball, {i}"
        assert f"seed: {i}\n" in (folder / "recipe.yaml").read_text()
    lines = lines_of(tmp_path / "out")
    assert [(line["id"], line["attempt"], line["status"]) for line in lines] == [(f"r{i}", 1, "done") for i in range(3)]
    assert all(line["peak_memory_gib"] > 0 and line["host"] and line["figures"]["steps"] == 3 for line in lines)
    assert lines[0]["seconds"]["cold"] > 0
    assert lines[1]["seconds"]["cold"] == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*.ckpt")}
    assert run(recipe, rows, tmp_path / "out") == 0
    assert "3 done (3 earlier), 0 failed" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert len(lines_of(tmp_path / "out")) == 3
    (tmp_path / "out" / "index.html").unlink()
    assert main(["--jobs-index", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "index.html").is_file()
    changed = [{**row, "trainer.max_steps": 4} for row in rows[:1]] + rows[1:]
    assert run(recipe, changed, tmp_path / "out") == 2
    assert "row 1: 'r0': its recipe has changed since" in capsys.readouterr().err


def test_a_job_that_does_harm_costs_the_others_nothing(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception fails at once; what costs its worker is tried once more and set aside."""
    harms = ["none", "kill", "raise", "diverge", "none", "memory", "hang", "none"]
    steps = {"trainer.max_steps": 4}  # three that are not finite, after a first one
    rows = [{"id": f"{how}{i}", "prompt": "a ball", "seed": i, TROUBLE: how, **steps} for i, how in enumerate(harms)]
    assert run(recipe, rows, tmp_path / "out", "--workers", "2", "--job-timeout", "10") == 5
    statuses = Counter((line["id"].rstrip("0123456789"), line["status"]) for line in lines_of(tmp_path / "out"))
    lost = {"kill": "killed", "diverge": "diverged", "memory": "out of memory", "hang": "timeout"}
    expected = {("none", "done"): 3, ("raise", "failed"): 1}
    expected |= dict.fromkeys(lost.items(), 1) | {(how, "poisoned"): 1 for how in lost}
    assert statuses == expected
    said = capsys.readouterr().out
    assert "3 done (0 earlier), 5 failed; --retry-failed tries them again" in said
    assert "poisoned: row 2, kill1: killed, 2 times: the worker was killed by SIGKILL" in said
    assert "failed: row 3, raise2: tests/plugins/troubled_loss.py:" in said
    assert "ValueError: a fault of the plugin's own" in said
    assert "poisoned: row 7, hang6: timeout, 2 times: not ended after 10 s (--job-timeout)" in said
    assert "Traceback" in (tmp_path / "out" / "raise2" / "log.txt").read_text()
    assert run(recipe, rows, tmp_path / "out") == 5, "failures stay until they are asked for"
    assert len(lines_of(tmp_path / "out")) == sum(expected.values())
    capsys.readouterr()
    only = [row for row in rows if row[TROUBLE] in ("none", "raise")]
    assert run(recipe, only, tmp_path / "out", "--retry-failed") == 5
    last = lines_of(tmp_path / "out")[-1]
    assert (last["id"], last["attempt"], last["status"]) == ("raise2", 2, "failed")


def test_parts_of_the_jobs_are_done_apart_and_make_one_whole(recipe: Path, tmp_path: Path) -> None:
    rows = [{"id": f"r{i}", "prompt": "a ball", "seed": i} for i in range(5)]
    out = tmp_path / "out"
    assert run(recipe, rows, out, "--shard", "2/2") == 0
    assert {line["id"] for line in lines_of(out)} == {"r1", "r3"}
    assert run(recipe, rows, out, "--shard", "1/2") == 0
    assert Counter(line["id"] for line in lines_of(out)) == {f"r{i}": 1 for i in range(5)}


def test_the_dry_run_counts_and_writes_nothing(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": f"r{i}", "prompt": "a ball", "seed": i} for i in range(4)]
    assert run(recipe, rows, tmp_path / "out", "--dry-run", "--workers", "2") == 0
    said = capsys.readouterr().out
    for words in ("4 rows: 4 to do, 0 done, 0 failed", "s a step, 3 steps", "workers: 2", "time: about", "disk: about"):
        assert words in said
    assert not (tmp_path / "out").exists()


def test_a_broken_mesh_is_no_reason_to_know_nothing_of_the_other_rows(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.obj").write_text("v 0 0 0\nf 1 2 3\n")
    paint = {"config": str(ROOT / "configs" / "latent-paint.yaml"), "shape": str(tmp_path / "broken.obj")}
    rows = [{"id": "broken", "prompt": "a ball", **paint}, {"id": "sound", "prompt": "a ball"}]
    assert run(recipe, rows, tmp_path / "out", "--dry-run") == 0
    assert "2 rows: 2 to do" in capsys.readouterr().out
    assert "row 1 cannot be built: " in caplog.text
    assert run(recipe, rows[:1], tmp_path / "out", "--dry-run") == 2


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--shard", "0/4"], "--shard: I/N with I from 1 to N, such as 1/20, got 0/4"),
        (["--workers", "0"], "--workers: at least 1, got 0"),
        (["--job-timeout", "-3"], "--job-timeout: seconds above 0, got -3"),
        (["--prompt", "a ball"], "--prompt does not go with --jobs"),
        (["--resume", "auto"], "--resume does not go with --jobs"),
        (["--show-recipe"], "--show-recipe does not go with --jobs"),
        (["--allow-changed"], "--allow-changed does not go with --jobs"),
        (["--ray-address", "auto"], "--ray-address: say --engine ray too"),
        (["--engine", "slurm"], "--engine: invalid choice: 'slurm'"),
    ],
)
def test_options_that_do_not_fit_are_told(words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", "a.yaml", "--jobs", "jobs.csv", *words]) == 2
    assert complaint in capsys.readouterr().err


class Launched:
    """A command in a process of its own, that can be killed."""

    def __init__(self, words: list[str]) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "launch.py"), *words],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def when(self, condition: Any, timeout_s: float = 300.0) -> None:
        """Wait for something to be the case."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, self.process.communicate()[0]
            assert time.monotonic() < end, "it takes too long"
            time.sleep(0.05)


KILLED = pytest.mark.fault("kill -9 of the driver of many jobs", "one more start does the rest, none twice or lost")


@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=KILLED)])
def test_a_driver_that_was_ended_goes_on_with_nothing_lost_and_nothing_twice(
    tmp_path: Path, how: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C lets jobs end their steps; after SIGKILL workers go with their driver, and the last checkpoint counts."""
    recipe = write_recipe(tmp_path, trainer__checkpoint_every=1, trainer__max_steps=12)
    rows = [{"id": f"r{i}", "prompt": "a ball", "seed": i, TROUBLE: "slow"} for i in range(3)]
    words = command(recipe, write_jobs(tmp_path / "jobs.csv", rows), tmp_path / "out", "--workers", "1")
    launched = Launched(words)
    launched.when((tmp_path / "out" / "r1" / "checkpoints" / "last.ckpt").exists)
    time.sleep(0.5)
    launched.process.send_signal(how)
    said, _ = launched.process.communicate(timeout=120)
    if how is signal.SIGINT:
        assert launched.process.returncode == 130
        assert "1 done (0 earlier), 0 failed, 2 left: the same command goes on" in said
    assert [line["id"] for line in lines_of(tmp_path / "out")] == ["r0"]
    assert main(words) == 0
    assert "3 done (1 earlier), 0 failed" in capsys.readouterr().out
    assert Counter(line["id"] for line in lines_of(tmp_path / "out")) == {f"r{i}": 1 for i in range(3)}
    resumed = (tmp_path / "out" / "r1" / "metrics.csv").read_text().splitlines()
    assert len(resumed) == len((tmp_path / "out" / "r0" / "metrics.csv").read_text().splitlines())
    assert not list((tmp_path / "out").rglob(".*.json"))
    assert json.loads((tmp_path / "out" / "r1" / "done.json").read_text())["status"] == "done"


def test_a_note_that_nobody_can_read_is_said_and_its_row_done_again(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link in the place of its log is another row's end: what the link leads to stays as it is."""
    rows = [{"id": name, "prompt": "a ball", "seed": i} for i, name in enumerate("ab")]
    out = tmp_path / "out"
    assert run(recipe, rows, out, "--workers", "1") == 0
    for name in "ab":
        (out / name / "done.json").write_text("{")
    log, kept = out / "b" / "log.txt", tmp_path / "kept.txt"
    assert not log.stat().st_mode & 0o111, "a log is no program"
    log.unlink()
    log.symlink_to(kept)
    capsys.readouterr()
    assert run(recipe, rows, out, "--workers", "1") == 5
    said = capsys.readouterr()
    assert f"{out / 'a' / 'done.json'} cannot be read: the row goes on from what else is there" in said.err
    assert f"failed: row 2, b: {log}: a link or no file; in a run's folder nothing is written through it" in said.out
    assert "1 done (0 earlier), 1 failed" in said.out
    assert not kept.exists()


def test_parts_that_share_rows_are_not_done_at_once(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"id": "a", "prompt": "a ball"}]
    held = tmp_path / "out" / ".driver-2-of-4"
    held.mkdir(parents=True)
    with locked(held):
        assert run(recipe, rows, tmp_path / "out") == 3
        assert f"{held}: another process works here" in capsys.readouterr().err
        assert run(recipe, rows, tmp_path / "out", "--shard", "4/6") == 3
        assert run(recipe, rows, tmp_path / "out", "--shard", "3/6") == 0, "it shares no row with the second of four"


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_place_where_no_results_can_go_is_told_before_anything_begins(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    (tmp_path / "out").touch()
    assert run(recipe, [{"id": "a", "prompt": "a ball"}], tmp_path / "out", *more) == 2
    assert f"--out: {tmp_path / 'out'} is a file" in capsys.readouterr().err


def test_a_file_called_runs_in_the_current_folder_is_of_no_concern(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").touch()
    monkeypatch.chdir(tmp_path)
    assert run(recipe, [{"id": "a", "prompt": "a ball"}], tmp_path / "out", "--dry-run") == 0


def test_a_failure_that_could_not_be_noted_counts_too(tmp_path: Path) -> None:
    job = Job("a", Row(1, {}), (), {}, "ball.yaml")
    record = Record("a", 1, "a ball", 1, "failed", "No space left on device")
    ending = _ending([job], tmp_path, [record])
    assert (ending.failed, ending.n_left) == ([record], 0)


def test_a_program_does_rows_and_is_told_of_each(recipe: Path, tmp_path: Path) -> None:
    rows = [{"id": f"r{i}", "prompt": "a ball", "seed": i} for i in range(2)]
    request = JobsRequest(write_jobs(tmp_path / "jobs.csv", rows), tmp_path / "out", recipe, device="cpu", workers=1)
    told: list[tuple[int, str]] = []
    ending = carry_out_jobs(
        request, watch=lambda n, task, news: told.append((n, task.id)) if isinstance(news, Record) else None
    )
    assert [(record.id, record.status) for record in ending.now] == [("r0", "done"), ("r1", "done")]
    assert told == [(2, "r0"), (2, "r1")]
    again = carry_out_jobs(request)
    assert (again.now, again.n_left, len(again.records)) == ((), 0, 2)
    stop = Stop()
    stop.request()
    stopped = carry_out_jobs(replace(request, out=tmp_path / "other"), stop)
    assert (stopped.records, stopped.n_left) == ((), 2)

"""Does a night of jobs hold? Failures among many rows, workers killed at random, what a job costs beside its training.

    python -m benchmarks.jobs [--quick] [--engine ray]

Rows are Latent-NeRF on the bundled model, of few steps. Each part has a folder in the work folder, made anew.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.jobs.checking import Checker
from app.jobs.folder import DONE, JOB, read_json
from app.jobs.table import read_rows
from benchmarks.command import Report, benchmark_parser, run_benchmark
from benchmarks.floors import Floor
from benchmarks.machine import ROOT
from benchmarks.runs import RunFailedError
from core.files import whole_file

CONFIG = ROOT / "configs" / "latent-nerf.yaml"
PLUGIN = ROOT / "tests" / "plugins" / "troubled_loss.py"
#: Of rows that do harm: a loss that is not finite three times in a row after the first step, so they need four steps.
HARMS, HARM_STEPS = ("diverge", "kill"), 4


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    return run_benchmark(_run, _parser().parse_intermixed_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = benchmark_parser(
        "jobs", "Many rows, some of them broken.", None, work="jobs", quick="fewer rows and steps"
    )
    parser.add_argument("--engine", choices=("local", "ray"), default="local")
    return parser


def _run(options: argparse.Namespace) -> Report:
    quick = options.quick
    floors = [
        *mixed_rows(options, 8 if quick else 24),
        *killed_workers(options, 8 if quick else 40, 2 if quick else 6),
        *overhead(options, 3 if quick else 20, 5 if quick else 100),
        *skipping(options, 100 if quick else 1000),
    ]
    return Report(f"jobs-{options.engine}", not quick, {}, "", floors)


def mixed_rows(options: argparse.Namespace, n_rows: int) -> list[Floor]:
    """A broken mesh, one that diverges, one that kills its worker; the others are done, and equal for any workers."""
    rows, expected = mixed(options.work, n_rows)
    sheets: list[dict[str, bytes]] = []
    n_right = n_rows
    for workers in (1, 2):
        out = _launch(options, f"mixed-{workers}", rows, HARM_STEPS, "--workers", str(workers), code=5)
        last = {line["id"]: line["status"] for line in _lines(out)}
        n_right = min(n_right, sum(last.get(name) == status for name, status in expected.items()))
        done = [name for name, status in last.items() if status == "done"]
        sheets.append({name: (out / name / "contact_sheet.png").read_bytes() for name in done})
    return [
        _floor("rows that end as they must", n_right, n_rows),
        _floor("equal bytes with one worker and with two", int(sheets[0] == sheets[1]), 1),
    ]


def mixed(work: Path, n_rows: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Rows of which the first three come to harm, and how each must end."""
    broken = work / "broken.obj"
    broken.write_text("v 0 0 0\nf 1 2 3\n")
    paint = {"config": str(CONFIG.with_name("latent-paint.yaml")), "shape": str(broken.resolve())}
    harms: list[dict[str, str]] = [paint, *({"system.losses.trouble.how": how} for how in HARMS)]
    rows = [_row(i, **(harms[i] if i < len(harms) else {})) for i in range(n_rows)]
    ends = ["failed", *("poisoned" for _ in HARMS)]
    return rows, {row["id"]: ends[i] if i < len(ends) else "done" for i, row in enumerate(rows)}


def killed_workers(options: argparse.Namespace, n_rows: int, n_kills: int) -> list[Floor]:
    """Workers are killed at random moments, and once the driver; one more start does the rest."""
    rows, chance = [_row(i) for i in range(n_rows)], random.Random(0)
    out = _folder(options, "killed")
    words = _words(options, out, rows, 10, "--workers", "2", "trainer.checkpoint_every=2")
    driver = subprocess.Popen(words)
    for _ in range(n_kills):
        time.sleep(chance.uniform(3, 10))
        workers = _workers_of(driver.pid)
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    subprocess.run([*words, "--retry-failed"], check=False)
    done = Counter(line["id"] for line in _lines(out) if line["status"] == "done")
    unfinished = [path for path in out.rglob(".*") if path.suffix in (".json", ".ckpt", ".png")]
    return [
        _floor("rows done after kills and one more start", sum(count == 1 for count in done.values()), n_rows),
        _floor("no half file", int(not unfinished), 1),
    ]


def overhead(options: argparse.Namespace, n_rows: int, steps: int) -> list[Floor]:
    """What jobs take on one warm worker beside training and export; and what a second worker gives."""
    rows = [_row(i) for i in range(n_rows)]
    one, two = (_launch(options, f"overhead-{n}", rows, steps, "--workers", str(n)) for n in (1, 2))
    seconds = [line["seconds"] for line in _lines(one)]
    own = sum(each["training"] + each["export"] for each in seconds)
    return [
        _floor("training and export, of what jobs take on a warm worker", own / _elapsed(one), 1 / 1.15),
        _floor("2 s over the start of a second job", 2.0 / max(seconds[1]["start"], 1e-3), 1.0),
        _floor("speed with two workers, over one", _elapsed(one) / _elapsed(two), 1.6),
    ]


def skipping(options: argparse.Namespace, n_rows: int) -> list[Floor]:
    """Rows that are done are checked, indexed and skipped."""
    rows = [_row(i) for i in range(n_rows)]
    first = _launch(options, "skipped", rows[:1], 3)
    for row in rows[1:]:
        folder = first / row["id"]
        shutil.copytree(first / rows[0]["id"], folder)
    jobs = write_rows(first.parent / "skipped.jsonl", rows)
    checker = Checker(jobs, write_recipe(options.work), ["trainer.max_steps=3", *options.overrides])
    # Only what is checked is made to fit: the digests of each row.
    for job in checker.jobs(read_rows(jobs), first.parent / "nowhere"):
        for name in (JOB, DONE):
            known = read_json(first / job.id / name)
            (first / job.id / name).write_text(json.dumps({**known, "id": job.id, "digests": dict(job.digests)}))
    begun = time.monotonic()
    subprocess.run(_words(options, first, rows, 3), check=True)
    return [_floor("10 s over checking, indexing and skipping", 10 / (time.monotonic() - begun), 1.0)]


def _floor(name: str, value: float, wanted: float) -> Floor:
    return Floor(name, value, wanted, f"{value:.3g} of {wanted:.3g}")


def _row(i: int, **more: Any) -> dict[str, Any]:
    return {"id": f"row-{i}", "prompt": "a red mushroom", "seed": i, **more}


def _folder(options: argparse.Namespace, name: str) -> Path:
    out = options.work / f"{name}-{options.engine}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    return out


def write_rows(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A jobs file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _words(options: argparse.Namespace, out: Path, rows: Sequence[dict[str, Any]], steps: int, *more: str) -> list[str]:
    jobs = write_rows(out.with_suffix(".jsonl"), rows)
    recipe = write_recipe(options.work)
    words = [sys.executable, str(ROOT / "launch.py"), "--config", str(recipe), "--jobs", str(jobs), "--out", str(out)]
    chosen = ["--engine", options.engine, "--device", options.device, f"trainer.max_steps={steps}"]
    return [*words, *chosen, *more, *options.overrides]


def write_recipe(work: Path) -> Path:
    """Latent-NeRF with one picture to export, and a loss that does no harm unless a row says so.

    Said in a file, and not on the command line, which would win over what rows say of the loss.
    """
    tree = {
        "extends": str(CONFIG),
        "plugins": [str(PLUGIN)],
        "system": {"losses": {"trouble": {"type": "troubled"}}},
        "trainer": {"preview_every": 0},
        "exporters": [{"type": "contact-sheet"}],
    }
    path = work / "troubled.yaml"
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(tree))  # JSON is YAML
    return path


def _launch(
    options: argparse.Namespace, name: str, rows: Sequence[dict[str, Any]], steps: int, *more: str, code: int = 0
) -> Path:
    """The folder of jobs that have ended with this exit code."""
    out = _folder(options, name)
    ended = subprocess.run(_words(options, out, rows, steps, *more), check=False).returncode
    if ended != code:
        raise RunFailedError(f"{name}: exit code {ended}, where {code} is expected; see {out}")
    return out


def _elapsed(out: Path) -> float:
    """Seconds from the moment when the first job was begun until the last one was done: no worker's cold start."""
    begun = min(path.stat().st_mtime for path in out.glob(f"*/{JOB}"))
    return max(path.stat().st_mtime for path in out.glob(f"*/{DONE}")) - begun


def _lines(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def _workers_of(driver: int) -> list[int]:
    """Grandchildren of the driver, in Linux's /proc: its own child is what workers are forked from."""
    parents: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = status.read_text()
        except OSError:
            continue
        parents.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(status.parent.name))
    return [grandchild for child in parents.get(driver, []) for grandchild in parents.get(child, [])]


if __name__ == "__main__":
    sys.exit(main())

"""Does a night of jobs hold? Failures among many rows, workers killed at random, what a job costs beside its training.

    python -m benchmarks.jobs [--case mixed] [--engine ray] [--quick]

Rows are of few steps on the bundled model. Each case has a folder in the work folder, made anew; its figures are kept,
and the report is of all cases that have been measured so far. `timed` wants a machine that does nothing else.
"""

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from app.jobs.checking import Checker
from app.jobs.folder import DONE, JOB, read_object
from app.jobs.table import read_rows
from benchmarks.command import Report, benchmark_parser, run_benchmark
from benchmarks.floors import Floor
from benchmarks.job_rows import HARM_STEPS, HARMS, mixed, plain_row, write_recipe, write_rows
from benchmarks.machine import ROOT
from benchmarks.runs import RunFailedError
from core.files import write_json

#: Which cases each engine is measured by.
CASES = {"local": ("mixed", "killed", "skipped", "timed"), "ray": ("mixed", "killed")}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    return run_benchmark(_run, _parser().parse_intermixed_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = benchmark_parser(
        "jobs", "Many rows, some of them broken.", None, work="jobs", quick="fewer rows and steps"
    )
    parser.add_argument("--engine", choices=tuple(CASES), default="local")
    parser.add_argument("--case", choices=CASES["local"], help="this one alone (default: all of the engine)")
    return parser


def _run(options: argparse.Namespace) -> Report:
    quick = options.quick
    measures = {
        "mixed": lambda: mixed_rows(options, 8 if quick else 24),
        "killed": lambda: killed_workers(options, 8 if quick else 40, 2 if quick else 6),
        "skipped": lambda: skipping(options, 100 if quick else 1000),
        "timed": lambda: overhead(options, 3 if quick else 20, 5 if quick else 100),
    }
    for case in [options.case] if options.case else CASES[options.engine]:
        floors = [asdict(floor) for floor in measures[case]()]
        write_json(_kept(options, options.engine, case), {"date": date.today().isoformat(), "floors": floors})
    wanted = {(engine, case): _kept(options, engine, case) for engine, cases in CASES.items() for case in cases}
    kept = {key: json.loads(path.read_text()) for key, path in wanted.items() if path.is_file()}
    floors = [
        Floor(**{**floor, "name": f"{engine}: {floor['name']}"})
        for (engine, _), found in kept.items()
        for floor in found["floors"]
    ]
    dates = {f"{engine}, {case}": found["date"] for (engine, case), found in kept.items()}
    return Report("jobs", not quick and len(kept) == len(wanted), {"measured": dates}, "", floors)


def _kept(options: argparse.Namespace, engine: str, case: str) -> Path:
    return options.work / f"{'quick-' if options.quick else ''}{engine}-{case}.json"


def mixed_rows(options: argparse.Namespace, n_rows: int) -> list[Floor]:
    """A broken mesh, one that diverges, one that kills its worker; the others are done, and equal whoever runs them."""
    rows, expected = mixed(options.work, n_rows)
    meshes: dict[str, dict[str, bytes]] = {}
    floors: list[Floor] = []
    for workers in (1, 2) if options.engine == "local" else (2,):
        out = _launch(options, f"mixed-{workers}", rows, HARM_STEPS, "--workers", str(workers), code=5)
        last = {line["id"]: line for line in _lines(out)}
        n_right = sum(last[name]["status"] == status for name, status in expected.items() if name in last)
        n_told = sum(bool(line["error"]) for line in last.values() if line["status"] != "done")
        page = Counter(re.findall(r'<tr data-status="(\w+)"', (out / "index.html").read_text()))
        floors += [
            _floor(f"rows that end as they must, {workers} workers", n_right, n_rows),
            _floor(f"failures with a line, {workers} workers", n_told, 1 + len(HARMS)),
            _floor(f"rows right on the page, {workers} workers", (page & Counter(expected.values())).total(), n_rows),
        ]
        meshes[f"{workers}-{options.engine}"] = _meshes(out)
    other = options.work / "mixed-2-local"
    if options.engine == "ray" and other.is_dir():
        meshes["2-local"] = _meshes(other)
    first, *others = meshes.values()
    n_equal = sum(all(each.get(name) == mesh for each in others) for name, mesh in first.items())
    return [*floors, _floor(f"equal mesh.glb in {' and '.join(meshes)}", n_equal, n_rows - 1 - len(HARMS))]


def _meshes(out: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in out.glob("*/mesh.glb")}


def killed_workers(options: argparse.Namespace, n_rows: int, n_kills: int) -> list[Floor]:
    """Workers are killed at random moments, and once the driver; one more start does the rest."""
    rows, chance = [plain_row(i) for i in range(n_rows)], random.Random(0)
    out = _folder(options, "killed")
    words = _words(options, out, rows, 10, "--workers", "2", "trainer.checkpoint_every=2")
    driver = subprocess.Popen(words)
    for _ in range(n_kills):
        time.sleep(chance.uniform(3, 10))
        workers = _workers_of(driver.pid, options.engine)
        if workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    # Chance may kill the workers of one row twice; it is then set aside, and has to be asked for.
    subprocess.run([*words, "--retry-failed"], check=False)
    done = Counter(line["id"] for line in _lines(out) if line["status"] == "done")
    unfinished = [path for path in out.rglob(".*") if not path.name.startswith((".lock", ".exported", ".driver"))]
    return [
        _floor("rows done after kills and one more start", sum(count == 1 for count in done.values()), n_rows),
        _floor("no half file", int(not unfinished), 1),
    ]


def overhead(options: argparse.Namespace, n_rows: int, steps: int) -> list[Floor]:
    """What jobs take on one warm worker beside training and export; and what a second worker gives."""
    rows = [plain_row(i) for i in range(n_rows)]
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
    rows = [plain_row(i) for i in range(n_rows)]
    first = _launch(options, "skipped", rows[:1], 3)
    for row in rows[1:]:
        folder = first / row["id"]
        shutil.copytree(first / rows[0]["id"], folder, ignore=shutil.ignore_patterns("checkpoints"))
    jobs = write_rows(first.parent / "skipped.jsonl", rows)
    checker = Checker(jobs, write_recipe(options.work), ["trainer.max_steps=3", *options.overrides])
    # Only what is checked is made to fit: the digests of each row.
    for job in checker.jobs(read_rows(jobs), first.parent / "nowhere"):
        for name in (JOB, DONE):
            known = read_object(first / job.id / name)
            (first / job.id / name).write_text(json.dumps({**known, "id": job.id, "digests": dict(job.digests)}))
    begun = time.monotonic()
    subprocess.run(_words(options, first, rows, 3), check=True)
    return [_floor("10 s over checking, indexing and skipping", 10 / (time.monotonic() - begun), 1.0)]


def _floor(name: str, value: float, wanted: float) -> Floor:
    return Floor(name, value, wanted, f"{value:.3g} of {wanted:.3g}")


def _folder(options: argparse.Namespace, name: str) -> Path:
    out = options.work / f"{name}-{options.engine}"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    return out


def _words(options: argparse.Namespace, out: Path, rows: Sequence[dict[str, Any]], steps: int, *more: str) -> list[str]:
    jobs = write_rows(out.with_suffix(".jsonl"), rows)
    recipe = write_recipe(options.work)
    words = [sys.executable, str(ROOT / "launch.py"), "--config", str(recipe), "--jobs", str(jobs), "--out", str(out)]
    chosen = ["--engine", options.engine, "--device", options.device, f"trainer.max_steps={steps}"]
    return [*words, *chosen, *more, *options.overrides]


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


def _workers_of(driver: int, engine: str) -> list[int]:
    """Grandchildren of the driver, in Linux's /proc: workers are forked by a child of its own, or Ray's actors."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text, title = (folder / "stat").read_text(), (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if engine == "local" or b"ray::" not in title or b"Actor" in title:
            parents.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(int(folder.name))
    return [grandchild for child in parents.get(driver, []) for grandchild in parents.get(child, [])]


if __name__ == "__main__":
    sys.exit(main())

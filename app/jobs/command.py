"""`launch.py --jobs FILE`: rows are checked, what is left to do is done, and what came of it is said."""

import argparse
import math
import re
import signal
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.jobs.checking import Checker, Job
from app.jobs.cluster import RayEngine
from app.jobs.driver import Driver
from app.jobs.engine import Engine
from app.jobs.estimate import estimate, need_of
from app.jobs.folder import JOB, Record, Task, read_record, state_of, unreadable
from app.jobs.index import write_index
from app.jobs.local import LocalEngine, Share, divide_machine
from app.jobs.progress import Board
from app.jobs.results import Results, write_table
from app.jobs.table import read_rows
from app.lock import locked
from app.machine import check_out, resolve_device
from app.process import Signals, StopOnSignals
from app.terminal import say

#: What a command ends with that has set rows aside.
SOME_FAILED = 5
#: Seconds between two writings of the page while jobs are done.
INDEX_EVERY_S = 60.0
#: What the smallest results take on disk, in bytes.
LEAST_BYTES = 2**20


def run_jobs(options: argparse.Namespace, signals: Signals) -> int:
    """Carry out `--jobs` and give the exit code.

    Raises:
        UserError: one line for each fault of the rows; nothing has begun then.
    """
    device, out = resolve_device(options.device), options.out
    checker = Checker(options.jobs, options.config, options.overrides, options.plugin, device, options.trust)
    index, count = options.shard
    jobs = checker.jobs(read_rows(options.jobs), out)[index - 1 :: count]
    share = divide_machine(options.workers, device)
    check_out(out, LEAST_BYTES)
    if options.dry_run:
        say(estimate(jobs, out, options.device, share, _wanted(options)))
        return 0
    with _alone(out, index, count):
        results = Results(out)
        results.catch_up([out / job.id for job in jobs])
        tasks = _to_do(jobs, out, options)
        if not tasks:
            return _ending(jobs, out, [], None)
        say(f"{len(tasks)} of {len(jobs)} jobs to do, {min(share.n_workers, len(tasks))} at once", on_stderr=True)
        stop = StopOnSignals(signals)
        with _watched(out, len(tasks)) as watch, _engine(options, share, jobs, tasks) as engine:
            driver = Driver(engine, results, options.job_timeout, watch)
            stop.arm()
            driver.run(tasks, stop)
        stop.disarm()
        return _ending(jobs, out, driver.records, signals.received)


def _to_do(jobs: Sequence[Job], out: Path, options: argparse.Namespace) -> list[Task]:
    """Tasks of rows that are new, were interrupted, or are to be tried again."""
    states = {job.id: state_of(out / job.id) for job in jobs}
    for job in jobs:
        if states[job.id] == "begun" and (note := unreadable(out / job.id)):
            say(f"{note} cannot be read: the row goes on from what else is there", on_stderr=True)
    return [job.task(out, options.device) for job in jobs if states[job.id] in _wanted(options)]


def _wanted(options: argparse.Namespace) -> set[str]:
    """States of the rows that there is something to do for."""
    return {"new", "begun", "failed"} if options.retry_failed else {"new", "begun"}


def _engine(options: argparse.Namespace, share: Share, jobs: Sequence[Job], tasks: Sequence[Task]) -> Engine:
    if options.engine == "local":
        return LocalEngine(share, len(tasks))
    wanted = {task.id for task in tasks}
    need = need_of([job for job in jobs if job.id in wanted], options.out, options.device)
    return RayEngine(share, len(tasks), need, options.ray_address, options.out)


def _ending(jobs: Sequence[Job], out: Path, now: Sequence[Record], received: signal.Signals | None) -> int:
    """Write table and page of all jobs, say how these ended, and give the exit code."""
    known = {record.id: record for record in now}  # also where nothing could be written
    records = [record for job in jobs if (record := read_record(out / job.id) or known.get(job.id)) is not None]
    failed = [record for record in records if record.status != "done"]
    n_left = len(jobs) - len(records)
    if any(out.glob(f"*/{JOB}")):
        write_table(out)
        write_index(out)
    for record in failed:
        say(f"{record.status}: row {record.row}, {record.id}: {record.error}")
    skipped = len(records) - len(now)
    left = f", {n_left} left: the same command goes on" if n_left else ""
    again = "; --retry-failed tries them again" if failed else ""
    say(f"{len(records) - len(failed)} done ({skipped} earlier), {len(failed)} failed{again}{left}")
    if starts := _starts(now):
        say(starts)
    say(f"Everything is in {out}/ (index.html, results.csv, results.jsonl)")
    if received is not None and n_left:
        return 128 + received
    return SOME_FAILED if failed or n_left else 0


def _starts(records: Sequence[Record]) -> str:
    """What a job waits until its first step: the first one of a worker, and those that find it warm."""
    cold = [record.seconds["start"] for record in records if record.seconds.get("cold")]
    warm = [record.seconds["start"] for record in records if "start" in record.seconds and not record.seconds["cold"]]
    parts = [f"{statistics.median(s):.1f} s {name}" for name, s in (("cold", cold), ("warm", warm)) if s]
    return f"A start takes {' and '.join(parts)} (until the first step)" if parts else ""


@contextmanager
def _watched(out: Path, n_tasks: int) -> Iterator[Callable[[Task, Record | float], None]]:
    """Progress on the screen, and a page that is never much older than the last result."""
    board, written = Board(n_tasks), time.monotonic()

    def watch(task: Task, news: Record | float) -> None:
        nonlocal written
        board(task, news)
        if isinstance(news, Record) and time.monotonic() - written > INDEX_EVERY_S:
            write_index(out)
            written = time.monotonic()

    try:
        yield watch
    finally:
        board.close()


@contextmanager
def _alone(out: Path, index: int, count: int) -> Iterator[None]:
    """Keep a second driver of the same jobs away.

    Raises:
        MachineError: there is one, of the same part or of another that shares rows with it.
    """
    folder = out / f".driver-{index}-of-{count}"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        for other in (each for each in out.glob(".driver-*") if each != folder and each.is_dir()):
            found = re.fullmatch(r"\.driver-(\d+)-of-([1-9]\d*)", other.name)
            theirs, of = map(int, found.groups()) if found else (0, 0)
            if found and (theirs - index) % math.gcd(of, count) == 0:
                with locked(other):
                    pass
        yield

"""Jobs files: rows are checked, and what is left to do is done. `launch.py --jobs FILE` is `run_jobs`; programs say

    request = JobsRequest(Path("jobs.csv"), out=Path("runs/tonight"), config=Path("configs/latent-nerf.yaml"))
    ending = carry_out_jobs(request)
    for record in ending.failed:
        print(record.id, record.error)

Paths start from the current folder, those of rows from the jobs file.
"""

import math
import re
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

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
from app.stopping import Stop
from app.terminal import say

#: What a command ends with that has set rows aside.
SOME_FAILED = 5
#: Seconds between two writings of the page while jobs are done.
INDEX_EVERY_S = 60.0
#: What the smallest results take on disk, in bytes.
LEAST_BYTES = 2**20


@dataclass(frozen=True)
class JobsRequest:
    """What is asked for of a jobs file (docs/jobs.md), nothing read yet."""

    file: Path
    """The table: CSV, JSON lines or Parquet."""
    out: Path
    """The folder that holds a run for each row."""
    config: Path | None = None
    """The recipe of rows that name none."""
    overrides: tuple[str, ...] = ()
    """`key.sub=value` texts that win over recipes and rows."""
    plugins: tuple[Path, ...] = ()
    """Files with further parts."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    trust: bool = False
    """Whether plugins may be run that another user's recipe names."""
    engine: Literal["local", "ray"] = "local"
    """Where workers run."""
    ray_address: str | None = None
    """Of a Ray cluster; None: one that is started for these jobs."""
    workers: int | None = None
    """How many rows are done at once; None: one for each GPU, else by cores and memory."""
    shard: tuple[int, int] = (1, 1)
    """(I, N): the I-th of N parts of the rows alone, from 1 on."""
    retry_failed: bool = False
    """Whether rows that have failed are tried again."""
    job_timeout: float | None = None
    """Seconds that an attempt may take; None: no limit."""

    @property
    def wanted(self) -> set[str]:
        """States of the rows that there is something to do for."""
        return {"new", "begun", "failed"} if self.retry_failed else {"new", "begun"}


@dataclass(frozen=True)
class JobsEnding:
    """How the rows of a jobs file stand."""

    records: tuple[Record, ...]
    """Of rows that are done or set aside, in their order."""
    now: tuple[Record, ...]
    """Of these, those that ended this time."""
    n_left: int
    """Rows that the same request goes on with."""

    @property
    def failed(self) -> list[Record]:
        """Rows that are not done, each with its error."""
        return [record for record in self.records if record.status != "done"]


def run_jobs(request: JobsRequest, signals: Signals) -> int:
    """Carry out `--jobs` and give the exit code; raises as `carry_out_jobs`."""
    board: Board | None = None

    def watch(n_tasks: int, task: Task, news: Record | float) -> None:
        nonlocal board
        board = board or Board(n_tasks)
        board(task, news)

    try:
        ending = carry_out_jobs(request, StopOnSignals(signals), watch)
    finally:
        if board is not None:
            board.close()
    for record in ending.failed:
        say(f"{record.status}: row {record.row}, {record.id}: {record.error}")
    n_done, skipped = len(ending.records) - len(ending.failed), len(ending.records) - len(ending.now)
    left = f", {ending.n_left} left: the same command goes on" if ending.n_left else ""
    again = "; --retry-failed tries them again" if ending.failed else ""
    say(f"{n_done} done ({skipped} earlier), {len(ending.failed)} failed{again}{left}")
    if starts := _starts(ending.now):
        say(starts)
    say(f"Everything is in {request.out}/ (index.html, results.csv, results.jsonl)")
    if signals.received is not None and ending.n_left:
        return 128 + signals.received
    return SOME_FAILED if ending.failed or ending.n_left else 0


def dry_run_of_jobs(request: JobsRequest) -> str:
    """How many objects, how long and how much disk; raises as `carry_out_jobs`."""
    jobs, share = _checked(request)
    return estimate(jobs, request.out, request.device, share, request.wanted)


def carry_out_jobs(
    request: JobsRequest,
    stop: Stop | None = None,
    watch: Callable[[int, Task, Record | float], None] = lambda n_tasks, task, news: None,
) -> JobsEnding:
    """Do all rows that are left to do; what is done is skipped.

    Args:
        stop: ends all workers after the steps that they are in, when asked to.
        watch: given how many jobs there are to do, and each attempt that has ended or the share of it that is done.

    Raises:
        UserError: one line for each fault of the rows; nothing has begun then.
        MachineError: another process does the same rows, or there is no room.
    """
    stop, out = stop or Stop(), request.out
    jobs, share = _checked(request)
    with _alone(out, *request.shard):
        results = Results(out)
        results.catch_up([out / job.id for job in jobs])
        tasks, now = _to_do(jobs, request), list[Record]()
        if tasks:
            say(f"{len(tasks)} of {len(jobs)} jobs to do, {min(share.n_workers, len(tasks))} at once", on_stderr=True)
            with _engine(request, share, jobs, tasks) as engine:
                driver = Driver(engine, results, request.job_timeout, _indexing(out, partial(watch, len(tasks))))
                stop.arm()
                driver.run(tasks, stop)
            stop.disarm()
            now = driver.records
        if any(out.glob(f"*/{JOB}")):
            write_table(out)
            write_index(out)
        return _ending(jobs, out, now)


def _ending(jobs: Sequence[Job], out: Path, now: Sequence[Record]) -> JobsEnding:
    known = {record.id: record for record in now}  # also where nothing could be written
    records = [record for job in jobs if (record := read_record(out / job.id) or known.get(job.id)) is not None]
    return JobsEnding(tuple(records), tuple(now), len(jobs) - len(records))


def _checked(request: JobsRequest) -> tuple[list[Job], Share]:
    """The jobs of the request's part of the rows, and how this machine is divided among workers."""
    device, (index, count) = resolve_device(request.device), request.shard
    checker = Checker(request.file, request.config, request.overrides, request.plugins, device, request.trust)
    jobs = checker.jobs(read_rows(request.file), request.out)[index - 1 :: count]
    check_out(request.out, LEAST_BYTES)
    return jobs, divide_machine(request.workers, device)


def _to_do(jobs: Sequence[Job], request: JobsRequest) -> list[Task]:
    """Tasks of rows that are new, were interrupted, or are to be tried again."""
    out = request.out
    states = {job.id: state_of(out / job.id) for job in jobs}
    for job in jobs:
        if states[job.id] == "begun" and (note := unreadable(out / job.id)):
            say(f"{note} cannot be read: the row goes on from what else is there", on_stderr=True)
    return [job.task(out, request.device) for job in jobs if states[job.id] in request.wanted]


def _engine(request: JobsRequest, share: Share, jobs: Sequence[Job], tasks: Sequence[Task]) -> Engine:
    if request.engine == "local":
        return LocalEngine(share, len(tasks))
    wanted = {task.id for task in tasks}
    need = need_of([job for job in jobs if job.id in wanted], request.out, request.device)
    return RayEngine(share, len(tasks), need, request.ray_address, request.out)


def _starts(records: Sequence[Record]) -> str:
    """What a job waits until its first step: the first one of a worker, and those that find it warm."""
    cold = [record.seconds["start"] for record in records if record.seconds.get("cold")]
    warm = [record.seconds["start"] for record in records if "start" in record.seconds and not record.seconds["cold"]]
    parts = [f"{statistics.median(s):.1f} s {name}" for name, s in (("cold", cold), ("warm", warm)) if s]
    return f"A start takes {' and '.join(parts)} (until the first step)" if parts else ""


def _indexing(out: Path, watch: Callable[[Task, Record | float], None]) -> Callable[[Task, Record | float], None]:
    """The same, and a page that is never much older than the last result."""
    written = time.monotonic()

    def watch_and_index(task: Task, news: Record | float) -> None:
        nonlocal written
        watch(task, news)
        if isinstance(news, Record) and time.monotonic() - written > INDEX_EVERY_S:
            write_index(out)
            written = time.monotonic()

    return watch_and_index


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

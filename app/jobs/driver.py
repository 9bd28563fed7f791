"""Who does what, and what then: jobs go to free workers, failures are counted, hung workers replaced."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from app.jobs.engine import Ended, Engine, News, Progressed
from app.jobs.folder import Record, Task, begin, finish, read_record
from app.jobs.results import Results
from app.process import LONGEST_SECONDS
from app.stopping import Stop

#: Seconds between two looks at clocks and requests to stop, where nothing else happens.
LOOK_EVERY_S = 0.5
#: What a new worker is given to import everything, in seconds; a job's time begins when it is heard of.
READY_S = 120.0
#: How often a job may cost its worker before it is set aside.
N_TRIES = 2


@dataclass
class _Running:
    task: Task
    since: float
    """When its worker was first heard of; before that, when it should have been."""
    is_heard: bool = False


class Driver:
    """Sees to it that every job is done, or set aside with a reason."""

    def __init__(
        self, engine: Engine, results: Results, timeout_s: float | None, watch: Callable[[Task, Record | float], None]
    ) -> None:
        """
        Args:
            timeout_s: how long one attempt may take.
            watch: is given each attempt that has ended, and now and then the share of a running one that is done.
        """
        self.engine, self.results, self.timeout_s, self.watch = engine, results, timeout_s, watch
        self.records: list[Record] = []
        """Of jobs that have ended, the last attempt each."""
        self._waiting: deque[Task] = deque()
        self._running: dict[int, _Running] = {}
        self._lost: Counter[str] = Counter()

    def run(self, tasks: Sequence[Task], stop: Stop) -> None:
        """Let all tasks be done; comes back earlier, with all workers at rest, when asked to stop."""
        self._waiting.extend(tasks)
        told_at: float | None = None
        while self._running or (self._waiting and not stop.is_requested):
            if stop.is_requested and told_at is None:
                self.engine.stop()
                told_at = time.monotonic()
            if not stop.is_requested:
                self._give()
            for news in self.engine.wait(LOOK_EVERY_S):
                self._take(news, stop)
            self._end_what_hangs()
            if told_at is not None and time.monotonic() - told_at > LONGEST_SECONDS - LOOK_EVERY_S:
                for worker in self._running:  # their last checkpoints count
                    self.engine.replace(worker)
                self._running.clear()

    def _give(self) -> None:
        for worker in range(self.engine.n_workers):
            if self._waiting and worker not in self._running:
                task = self._waiting.popleft()
                task = replace(task, attempt=self.results.next_attempt(task.id))
                self._running[worker] = _Running(task, time.monotonic() + READY_S)
                self.engine.give(worker, task)

    def _take(self, news: News, stop: Stop) -> None:
        if news.worker not in self._running:
            return
        running = self._running[news.worker]
        task = running.task
        if isinstance(news, Progressed):
            running.since = running.since if running.is_heard else time.monotonic()
            running.is_heard = True
            self.watch(task, news.step / max(news.total_steps, 1))
            return
        del self._running[news.worker]
        if isinstance(news, Ended):
            self._ended(news, task)
        elif (record := read_record(task.folder)) is not None and record.attempt == task.attempt:
            self._note(task, record)  # it had finished, and died before it could say so
        elif stop.is_requested:
            return
        elif news.is_fault:
            self._lose(task, Record.of(task, "killed", f"the worker was {news.reason}"))
        else:
            self._waiting.appendleft(task)

    def _ended(self, news: Ended, task: Task) -> None:
        if news.record is None:
            return
        if news.record.status in ("done", "failed"):
            self._note(task, news.record)
        else:
            self.engine.replace(news.worker)
            self._lose(task, news.record)

    def _end_what_hangs(self) -> None:
        now = time.monotonic()
        for worker, running in list(self._running.items()):
            if self.timeout_s is not None and now - running.since > self.timeout_s:
                del self._running[worker]
                self.engine.replace(worker)
                error = f"not ended after {self.timeout_s:g} s (--job-timeout)"
                self._lose(running.task, Record.of(running.task, "timeout", error))

    def _lose(self, task: Task, record: Record) -> None:
        """A job has cost its worker: it is tried once more, then set aside."""
        self._lost[task.id] += 1
        if self._lost[task.id] < N_TRIES:
            self.results.add(record)
            self.watch(task, record)
            self._waiting.append(task)
            return
        record = replace(record, status="poisoned", error=f"{record.status}, {N_TRIES} times: {record.error}")
        begin(task)
        finish(task.folder, record)
        self._note(task, record)

    def _note(self, task: Task, record: Record) -> None:
        self.results.add(record)
        self.records.append(record)
        self.watch(task, record)

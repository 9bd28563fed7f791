"""`local`: workers are processes of this machine, forked from one that has imported everything and done nothing.

So a worker that died is replaced within a second. Each is a process of its own, a single one too: a job that kills its
worker costs the others nothing. When the driver goes, however it goes, its workers go too.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import threading
import time
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from app.jobs.engine import Died, Ended, Engine, News, Progressed
from app.jobs.folder import Task
from app.jobs.worker import Kept, carry_out_task, quiet
from app.process import python_path
from app.stopping import Stop
from core.memory import usable_memory

#: Memory that one worker is given by default: twice what the bundled model takes.
WORKER_GIB = 2.0
STOP = "stop"


@dataclass(frozen=True)
class Share:
    """How a machine is divided among its workers."""

    n_workers: int
    n_threads: int
    """Of each worker. They do not depend on how many workers were asked for: sums over more threads round differently,
    and a job gives the same bytes whoever works beside it."""
    n_gpus: int = 0
    is_asked_for: bool = False
    """Whether the number of workers is the user's."""


def divide_machine(n_workers: int | None, device: str) -> Share:
    """One worker for each GPU, else by cores and memory; OMP_NUM_THREADS wins over a worker's share of the cores.

    Args:
        n_workers: as asked for.
    """
    n_gpus = torch.cuda.device_count() if device != "cpu" and torch.cuda.is_available() else 0
    n_cores = n_usable_cores()
    memory_gib = usable_memory() / 2**30
    usual = n_gpus or max(1, min(n_cores, int(memory_gib / WORKER_GIB)))
    n_threads = int(os.environ.get("OMP_NUM_THREADS") or max(1, n_cores // usual))
    return Share(n_workers or usual, n_threads, n_gpus, is_asked_for=n_workers is not None)


def n_usable_cores() -> int:
    """Cores that this process may run on, where the system tells."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS
        return os.cpu_count() or 1


@dataclass
class _Process:
    process: Any
    connection: Connection
    is_busy: bool = False

    @property
    def death(self) -> str:
        """What it died of."""
        self.process.join()
        code = self.process.exitcode
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


class LocalEngine(Engine):
    """Workers in processes of this machine."""

    def __init__(self, share: Share, n_wanted: int) -> None:
        """
        Args:
            n_wanted: jobs that there are.
        """
        self.share = share
        self.n_workers = max(1, min(share.n_workers, n_wanted))
        self._context = multiprocessing.get_context("forkserver")
        self._workers: dict[int, _Process] = {}
        _start_fork_server(share.n_threads)

    def give(self, worker: int, task: Task) -> None:
        """Let a free worker begin a task; one that has died meanwhile is replaced."""
        known = self._workers.get(worker)
        if known is None or not known.process.is_alive():
            self._workers[worker] = known = self._start(worker)
        known.is_busy = True
        try:
            known.connection.send(task)
        except OSError:  # it dies at this moment; `wait` will say so
            return

    def wait(self, seconds: float) -> list[News]:
        """What workers have sent, and which of them have died."""
        busy = {number: worker for number, worker in self._workers.items() if worker.is_busy}
        heard: list[Any] = [each for worker in busy.values() for each in (worker.connection, worker.process.sentinel)]
        if not heard:
            time.sleep(min(seconds, 0.05))
        ready = set(wait(heard, seconds)) if heard else set()
        news: list[News] = []
        for number, worker in busy.items():
            if {worker.connection, worker.process.sentinel} & ready:
                news += self._news_of(number, worker)
        return news

    def replace(self, worker: int) -> None:
        """Kill a worker; the next task finds another one."""
        _kill(self._workers.pop(worker, None))

    def stop(self) -> None:
        """Ask all workers to stop."""
        for worker in self._workers.values():
            with contextlib.suppress(OSError):  # one that has died; `wait` will say so
                worker.connection.send(STOP)

    def close(self) -> None:
        """Kill all workers."""
        for number in list(self._workers):
            self.replace(number)

    def _news_of(self, number: int, worker: _Process) -> list[News]:
        """All that a worker has sent; its death comes last."""
        news: list[News] = []
        try:
            while worker.connection.poll():
                said = worker.connection.recv()
                if isinstance(said, Ended):
                    worker.is_busy = False
                news.append(said)
        except (EOFError, OSError):
            worker.process.join()
        if worker.is_busy and not worker.process.is_alive():
            reason = worker.death
            self.replace(number)
            news.append(Died(number, reason))
        return news

    def _start(self, number: int) -> _Process:
        ours, theirs = self._context.Pipe()
        gpu = str(number % self.share.n_gpus) if self.share.n_gpus else ""
        process = self._context.Process(
            target=_work, args=(theirs, number, self.share.n_threads, gpu, time.time()), name=f"worker {number}"
        )
        process.daemon = True
        process.start()
        theirs.close()
        return _Process(process, ours)


def _kill(worker: _Process | None) -> None:
    if worker is not None:
        worker.process.kill()
        worker.process.join()
        worker.connection.close()


def _start_fork_server(n_threads: int) -> None:
    """The process that workers are forked from; its libraries read the environment once, when it starts."""
    forkserver.set_forkserver_preload([__name__])
    wanted = {"PYTHONPATH": python_path()}
    wanted |= {name: str(n_threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        forkserver.ensure_running()
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _work(connection: Connection, number: int, n_threads: int, gpu: str, since: float) -> None:
    """A worker's life: one task after another, until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the driver decides
    os.environ["CUDA_VISIBLE_DEVICES"] = gpu
    torch.set_num_threads(n_threads)
    quiet()
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    stop, kept = Stop(), Kept()
    threading.Thread(target=_listen, args=(connection, tasks, stop), daemon=True).start()
    while True:
        task = tasks.get()
        cold, since = (time.time() - since if since else 0.0), 0.0
        record = carry_out_task(task, stop, lambda *steps: connection.send(Progressed(number, *steps)), kept, cold)
        connection.send(Ended(number, record))


def _listen(connection: Connection, tasks: "queue.SimpleQueue[Task]", stop: Stop) -> None:
    while True:
        try:
            said = connection.recv()
        except (EOFError, OSError):  # the driver is gone: what is saved goes on in its next start
            os._exit(1)
        if isinstance(said, Task):
            tasks.put(said)
        else:
            stop.request()

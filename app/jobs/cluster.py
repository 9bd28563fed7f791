"""`ray`: workers are actors on a Ray cluster. Needs requirements-cluster.txt.

Where all nodes see the project's folder and that of the results under their own paths, workers use both as they lie.
Where they do not, the project travels as Ray's working directory, what a job reads travels with its task, and the job's
folder comes back through Ray's object store when it has ended.
"""

import contextlib
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.jobs.actor import Actor
from app.jobs.engine import Died, Ended, Engine, Need, News, Progressed
from app.jobs.folder import Task
from app.jobs.local import Share
from app.jobs.luggage import Luggage, unpacked_folder
from app.process import python_path
from core.errors import MachineError, first_line
from core.failures import ROOT

#: What does not travel with the project.
LEFT_AT_HOME = [".git", ".venv", "runs", "tests", "docs", "benchmarks", "**/__pycache__"]
#: Of a cluster that is begun for one command, instead of a third of the memory.
OBJECT_STORE_BYTES = 2**28
#: How much more memory a worker is given than a dry run has taken.
SPARE = 1.5
#: After how many seconds Ray has noticed that a node is gone.
NOTICED_S = 10.0
#: How long nodes may take to answer, in seconds.
ANSWER_S = 120.0


@dataclass
class _Known:
    handle: Any
    node: str | None = None
    job: Any = None
    """The promise of the job that it works on."""
    told: Any = None
    """The promise of how far it has come."""


class RayEngine(Engine):
    """Workers on the nodes of a cluster; without an address, on one of this machine that is begun for them."""

    def __init__(self, share: Share, n_wanted: int, need: Need, address: str | None, out: Path) -> None:
        """
        Args:
            n_wanted: jobs that there are.
            out: the folder of results.

        Raises:
            MachineError: Ray is not installed, or its cluster cannot be reached.
        """
        self.ray, self.share = import_ray(), share
        self._begins_ray = not self.ray.is_initialized()
        n_cpus = (share.n_workers or share.n_threads) * share.n_threads
        self._connect(address, n_cpus, {})
        self.is_shared = all_nodes_see(self.ray, [ROOT / "launch.py"], out)
        if not self.is_shared:
            self.ray.shutdown()
            self._connect(address, n_cpus, {"working_dir": str(ROOT), "excludes": LEFT_AT_HOME})
        self._luggage = None if self.is_shared else Luggage(self.ray.put)
        self._options = options_of(need, share.n_threads, self.ray.cluster_resources(), self.is_shared)
        self.n_workers = max(1, min(self._n_workers(), n_wanted))
        self._tasks: dict[int, Task] = {}
        self._actors = {number: self._start() for number in range(self.n_workers)}

    def give(self, worker: int, task: Task) -> None:
        """Let a free worker begin a task; what it reads goes along where nothing is shared."""
        actor = self._actors[worker]
        pieces = self._luggage.of(task) if self._luggage else None
        self._tasks[worker] = task
        actor.job = actor.handle.carry_out.remote(task, pieces)
        actor.told = None

    def wait(self, seconds: float) -> list[News]:
        """What has come back, who has died, and how far the others are."""
        busy = {actor.job: number for number, actor in self._actors.items() if actor.job is not None}
        if not busy:
            return []
        ready, _ = self.ray.wait(list(busy), num_returns=len(busy), timeout=0)
        if not ready:
            ready, _ = self.ray.wait(list(busy), num_returns=1, timeout=seconds)
        news = [self._result(busy[promise], promise) for promise in ready]
        return news or self._progress()

    def replace(self, worker: int) -> None:
        """Kill an actor and start another one."""
        self.ray.kill(self._actors[worker].handle, no_restart=True)
        self._actors[worker] = self._start()

    def stop(self) -> None:
        """Ask all workers to stop."""
        for actor in self._actors.values():
            actor.handle.stop.remote()

    def close(self) -> None:
        """Kill all actors, and leave the cluster as it was found."""
        for actor in self._actors.values():
            self.ray.kill(actor.handle, no_restart=True)
        if self._begins_ray:
            self.ray.shutdown()

    def _connect(self, address: str | None, n_cpus: int, runtime_env: dict[str, Any]) -> None:
        if self.ray.is_initialized():
            return
        begun = {"num_cpus": n_cpus, "object_store_memory": OBJECT_STORE_BYTES, "include_dashboard": False}
        try:
            self.ray.init(
                address=address or "local",
                runtime_env=runtime_env,
                log_to_driver=False,
                **({} if address else begun),
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise MachineError(f"--ray-address {address}: {first_line(error)}; see docs/cluster/") from error

    def _n_workers(self) -> int:
        """As many as were asked for, else as the cluster has room for."""
        if self.share.is_asked_for:
            return self.share.n_workers
        resources, rooms = self.ray.cluster_resources(), {"CPU": "num_cpus", "GPU": "num_gpus", "memory": "memory"}
        return min(
            int(resources.get(name, 0) // self._options[key]) for name, key in rooms.items() if key in self._options
        )

    def _start(self) -> _Known:
        made = self.ray.remote(Actor).options(**self._options)
        return _Known(made.remote(self.share.n_threads, time.time()))

    def _result(self, worker: int, promise: Any) -> News:
        actor = self._actors[worker]
        actor.job, task = None, self._tasks[worker]
        try:
            record, folder = self.ray.get(promise)
        except self.ray.exceptions.RayError as error:
            is_lost = actor.node is not None and self._is_gone(actor.node)
            self.replace(worker)  # one that Ray begins again by itself refuses what it is given until it is there
            how = "killed" if isinstance(error, self.ray.exceptions.RayActorError) else first_line(error)
            return Died(worker, "lost with its node" if is_lost else how, is_fault=not is_lost)
        if folder is not None:
            unpacked_folder(folder, task.folder)
        return Ended(worker, record)

    def _is_gone(self, node: str) -> bool:
        """Whether a node has gone; asked for as long as Ray may take to notice."""
        end = time.monotonic() + NOTICED_S
        while node in {each["NodeID"] for each in self.ray.nodes() if each["Alive"]}:
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True

    def _progress(self) -> list[News]:
        """Ask those who have answered last time."""
        news: list[News] = []
        for number, actor in self._actors.items():
            if actor.job is None:
                continue
            if actor.told is None:
                actor.told = actor.handle.progress.remote()
                continue
            ready, _ = self.ray.wait([actor.told], timeout=0)
            if ready:
                try:
                    actor.node, step, total = self.ray.get(actor.told)
                    news.append(Progressed(number, step, total))
                except self.ray.exceptions.RayError:
                    pass  # its job says what has become of it
                actor.told = None
        return news


def options_of(need: Need, n_threads: int, resources: dict[str, float], is_shared: bool) -> dict[str, Any]:
    """What Ray is told of an actor. Without num_cpus, its threads would be cut to one."""
    environment = {"OMP_NUM_THREADS": str(n_threads), "OMP_WAIT_POLICY": "passive"}
    if is_shared:
        environment["PYTHONPATH"] = python_path()
    n_together = int(need.whole_gpu_gib // (SPARE * need.gpu_gib)) if need.gpu_gib else 1
    gpus = {"num_gpus": round(1 / max(1, n_together), 3)} if need.gpu_gib and resources.get("GPU") else {}
    return {
        "num_cpus": n_threads,
        "memory": int(SPARE * need.memory_gib * 2**30),
        "max_restarts": -1,
        "max_concurrency": 2,  # it is asked how far it has come while it works
        "runtime_env": {"env_vars": environment},
        **gpus,
    }


def import_ray() -> Any:
    """The package.

    Raises:
        MachineError: it is not installed.
    """
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # under `uv run`, it would install all anew on nodes
    try:
        import ray  # pyright: ignore[reportMissingImports]
        import ray.exceptions  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MachineError("--engine ray: Ray is not installed: pip install -r requirements-cluster.txt") from error
    return ray


def all_nodes_see(ray: Any, files: Sequence[Path], out: Path) -> bool:
    """Whether all nodes of a cluster have some files, and what is written to a folder now, under their own paths.

    Raises:
        MachineError: a node does not answer.
    """
    from ray.util.scheduling_strategies import (  # pyright: ignore[reportMissingImports]
        NodeAffinitySchedulingStrategy,
    )

    with _token(out) as token:
        wanted = [str(path.resolve()) for path in (*files, token)]
        nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
        # What has no name travels as its code: nothing of ours is there yet.
        ask = ray.remote(lambda paths: all(__import__("os").path.exists(path) for path in paths))
        asked = [
            ask.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(wanted)
            for node in nodes
        ]
        try:
            return all(ray.get(asked, timeout=ANSWER_S))
        except ray.exceptions.RayError as error:
            raise MachineError(f"--engine ray: a node of the cluster does not answer: {first_line(error)}") from error


@contextlib.contextmanager
def _token(out: Path) -> Iterator[Path]:
    """A file in a folder, for as long as the block lasts."""
    path = out / f".seen-{uuid.uuid4().hex}"
    path.touch()
    try:
        yield path
    finally:
        path.unlink()

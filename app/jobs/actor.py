"""A worker as Ray has it: an actor, on whichever machine."""

import shutil
import tempfile
import time
from pathlib import Path

import torch

from app.jobs.folder import Record, Task
from app.jobs.luggage import Pieces, packed_folder
from app.jobs.worker import Kept, carry_out_task, quiet
from app.stopping import Stop


class Actor:
    """An actor: carries out one job after another, and says meanwhile how far it has come."""

    def __init__(self, n_threads: int, since: float) -> None:
        self.n_threads, self.since = n_threads, since
        self.home = Path(tempfile.mkdtemp(prefix="jobs-"))
        self._stop = Stop()
        self._steps = (0, 1)
        self._kept = Kept()
        quiet()

    def carry_out(self, task: Task, pieces: Pieces | None) -> tuple[Record | None, bytes | None]:
        """Make one object; gives its record, and its folder where that is not on a shared disk."""
        torch.set_num_threads(self.n_threads)  # of this thread; an actor's constructor has another one
        cold, self.since = (time.time() - self.since if self.since else 0.0), 0.0
        at_home = task
        if pieces is not None:
            import ray  # pyright: ignore[reportMissingImports]

            at_home = pieces.unpacked(task, self.home, ray.get)
        record = carry_out_task(at_home, self._stop, self._tell, self._kept, cold)
        if pieces is None:
            return record, None
        made = packed_folder(at_home.folder)
        shutil.rmtree(at_home.folder, ignore_errors=True)  # a node's disk would fill up with what has been sent
        return record, made

    def progress(self) -> tuple[str, int, int]:
        """Its node, and how many steps of how many are done."""
        import ray  # pyright: ignore[reportMissingImports]

        return ray.get_runtime_context().get_node_id(), self._steps[0], self._steps[1]

    def stop(self) -> None:
        """End the job after the step that it is in."""
        self._stop.request()

    def _tell(self, step: int, total_steps: int) -> None:
        self._steps = (step, total_steps)

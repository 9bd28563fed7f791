"""What the driver asks of workers, wherever they run, and what they let it know."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from app.jobs.folder import Record, Task


@dataclass(frozen=True)
class Need:
    """What one worker takes, as a dry run has found."""

    memory_gib: float
    gpu_gib: float = 0.0
    """Of a GPU's memory; 0 for none."""
    whole_gpu_gib: float = 0.0
    """Memory of one GPU."""


@dataclass(frozen=True)
class Progressed:
    """A worker's job has come so far."""

    worker: int
    step: int
    total_steps: int


@dataclass(frozen=True)
class Ended:
    """A worker is free again."""

    worker: int
    record: Record | None
    """None where it was asked to stop; the job can go on later."""


@dataclass(frozen=True)
class Died:
    """A worker has died over its job; another one is there in its place."""

    worker: int
    reason: str
    is_fault: bool = True
    """Whether the job may have killed it; not where a whole machine went away."""


News = Progressed | Ended | Died


class Engine(ABC):
    """Workers, by number from 0 on. Leaving it ends them all."""

    n_workers: int

    @abstractmethod
    def give(self, worker: int, task: Task) -> None:
        """Let a free worker begin a task."""

    @abstractmethod
    def wait(self, seconds: float) -> list[News]:
        """What has happened; comes back as soon as there is something, or after so many seconds."""

    @abstractmethod
    def replace(self, worker: int) -> None:
        """End a worker at once, whatever it does; another one takes its number. No news comes of it."""

    @abstractmethod
    def stop(self) -> None:
        """Ask all workers to end their jobs after the step that they are in, with a checkpoint."""

    @abstractmethod
    def close(self) -> None:
        """End all workers at once."""

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

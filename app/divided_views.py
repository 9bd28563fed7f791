"""Lightning's DDP for processes that are there already: gradients are averaged, and nothing else is waited for."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch import distributed

from core.chance import Rank

#: How long ranks wait for each other before they take the others for lost: longer than a preview or a checkpoint takes.
LONGEST_WAIT = timedelta(minutes=10)


class DividedViews(DDPStrategy):
    """Rank 0 saves, draws and ends when it likes; the others wait for it in the next step."""

    def __init__(self, rank: Rank) -> None:
        # A step in which a part is off leaves its parameters without a gradient. Buffers follow from parameters and
        # from draws that are the same on all ranks.
        super().__init__(cluster_environment=_Joined(rank), find_unused_parameters=True, forward_sync_buffers=False)

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """There is none: Lightning has one behind each checkpoint, which rank 0 alone writes."""

    def _configure_launcher(self) -> None:
        self._launcher = None  # app/ranks.py has started all; Lightning's would set this process's environment


class _Joined(LightningEnvironment):
    """Processes of one machine that have found each other."""

    creates_processes_externally = True  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]

    def __init__(self, rank: Rank) -> None:
        super().__init__()
        self._rank = rank

    def local_rank(self) -> int:
        """The number of its GPU, too."""
        return self._rank.number

    def node_rank(self) -> int:
        """All are on one machine."""
        return 0


@contextmanager
def joined(rank: Rank, meeting: Path, device: str) -> Iterator[None]:
    """Within this block, ranks can add up what they have.

    Args:
        meeting: a file that is not there yet, by which they find each other.
    """
    distributed.init_process_group(
        "nccl" if device == "cuda" else "gloo",
        store=distributed.FileStore(str(meeting), rank.n_ranks),  # pyright: ignore[reportPrivateImportUsage]
        rank=rank.number,
        world_size=rank.n_ranks,
        timeout=LONGEST_WAIT,
    )
    try:
        yield
    finally:
        distributed.destroy_process_group()

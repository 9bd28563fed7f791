"""`--jobs FILE --dry-run`: how many objects, how long by each recipe's own speed, and how much disk."""

import logging
import statistics
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from pathlib import Path

import torch

from app.dry_run import Cost, measured
from app.inputs import copied_paths
from app.jobs.checking import Job
from app.jobs.engine import Need
from app.jobs.folder import read_record, state_of
from app.jobs.local import Share
from app.machine import peak_memory_gib, resolve_device
from app.plan import Plan, Request, make_plan
from app.progress import in_minutes
from core.errors import MachineError, UserError

log = logging.getLogger(__name__)

#: Rows of one recipe that are tried before it is given up.
N_TRIED = 3
#: What pictures, meshes and a report take on disk, in bytes: as the bundled model's recipes make them.
EXPORTED_BYTES = 5e6


def need_of(jobs: Sequence[Job], out: Path, device: str) -> Need:
    """What a worker must have to do any of the jobs, by going once through one of each recipe.

    Raises:
        UserError: none can be built.
    """
    gib = max(cost.drawing_gib for cost in _costs(jobs, out, device).values())
    if resolve_device(device) == "cpu":
        return Need(gib)
    return Need(peak_memory_gib(of_gpu=False), gib, torch.cuda.get_device_properties(0).total_memory / 2**30)


def estimate(jobs: Sequence[Job], out: Path, device: str, share: Share, wanted: Container[str]) -> str:
    """Build one object of each recipe, go through it once, and say what all rows will take.

    Args:
        wanted: states of rows that are to be done.

    Raises:
        UserError: none can be built.
    """
    states = [state_of(out / job.id) for job in jobs]
    to_do = [job for job, state in zip(jobs, states, strict=True) if state in wanted]
    groups: dict[str, list[Job]] = defaultdict(list)
    for job in to_do:
        groups[job.recipe_name].append(job)
    costs = _costs(to_do, out, device) if to_do else {}
    built = [job for job in to_do if job.recipe_name in costs]
    seconds = sum(costs[job.recipe_name].seconds_per_step * job.recipes[0].trainer.max_steps for job in built)
    disk = sum(_bytes(job, costs[job.recipe_name]) for job in built)
    n_workers = max(1, min(share.n_workers, len(to_do)))
    ended = [record for job in jobs if (record := read_record(out / job.id)) is not None and record.status == "done"]
    export = statistics.median(record.seconds.get("export", 0.0) for record in ended) if ended else 0.0
    n_done, n_failed = states.count("done"), states.count("failed")
    lines = [
        f"{len(jobs)} rows: {len(to_do)} to do, {n_done} done, {n_failed} failed earlier",
        *(_line(name, len(group), costs[name], group[0]) for name, group in groups.items() if name in costs),
        f"workers: {n_workers}, with {share.n_threads} thread{'s' if share.n_threads > 1 else ''} each",
        f"time: about {in_minutes((seconds + export * len(to_do)) / n_workers)}"
        + ("" if ended else " of training; exports come on top"),
        f"disk: about {disk / 1e9:.2g} GB",
        "Nothing was trained or written.",
    ]
    return "\n".join(lines)


def _costs(jobs: Sequence[Job], out: Path, device: str) -> dict[str, Cost]:
    """What one object of each recipe takes: of its first few rows, the first that can be built.

    Those that cannot are named; they will fail when their turn comes, as a mesh does that is there and broken.

    Raises:
        UserError: none can be built.
    """
    costs: dict[str, Cost] = {}
    tried: Counter[str] = Counter()
    faults: list[UserError] = []
    for job in jobs:
        if job.recipe_name in costs or tried[job.recipe_name] == N_TRIED:
            continue
        tried[job.recipe_name] += 1
        try:
            costs[job.recipe_name] = measured(_plan(job, out, device))
        except MachineError:
            raise
        except UserError as error:
            log.warning("row %d cannot be built: %s", job.row.number, error)
            faults.append(error)
    if not costs:
        raise faults[0]
    return costs


def _plan(job: Job, out: Path, device: str) -> Plan:
    return make_plan(Request(recipe=job.recipes[0], out=out, folder=out / job.id, device=device))


def _line(name: str, n_rows: int, cost: Cost, job: Job) -> str:
    return (
        f"{name}: {n_rows} rows, {cost.seconds_per_step:.2g} s a step, {job.recipes[0].trainer.max_steps} steps, "
        f"{max(cost.step_gib, cost.drawing_gib):.1f} GiB of memory"
        + (f"; of its first stage, {len(job.recipes) - 1} more come on top" if len(job.recipes) > 1 else "")
    )


def _bytes(job: Job, cost: Cost) -> float:
    """A checkpoint, copies of what is read, and what is exported."""
    inputs = copied_paths(job.recipes[0]).values()
    copied = sum(file.stat().st_size for path in inputs for file in ([path] if path.is_file() else path.rglob("*")))
    return cost.checkpoint_bytes + copied + (EXPORTED_BYTES if job.recipes[0].exporters else 0)

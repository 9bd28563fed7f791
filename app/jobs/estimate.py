"""`--jobs FILE --dry-run`: how many objects, how long by each recipe's own speed, and how much disk."""

import logging
import statistics
from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from pathlib import Path

import torch

from app.dry_run import Cost, measured_stages
from app.inputs import copied_paths
from app.jobs.checking import Job
from app.jobs.engine import Need
from app.jobs.folder import read_record, state_of
from app.jobs.local import Share
from app.machine import peak_memory_gib, resolve_device
from app.plan import Plan, Request, make_plan
from app.progress import in_minutes
from core.errors import MachineError, UserError
from core.recipe import Recipe

log = logging.getLogger(__name__)

#: Of a recipe's stages; None for one that cannot be gone through before the others are trained.
Costs = Sequence[Cost | None]
#: Rows of one recipe that are tried before it is given up.
N_TRIED = 3
#: What pictures, meshes and a report take on disk, in bytes: as the bundled model's recipes make them.
EXPORTED_BYTES = 5e6


def need_of(jobs: Sequence[Job], out: Path, device: str) -> Need:
    """What a worker must have to do any of the jobs, by going once through one of each recipe.

    Raises:
        UserError: none can be built.
    """
    gib = max(cost.drawing_gib for costs in _costs(jobs, out, device).values() for cost in costs if cost)
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
    seconds = sum(
        cost.seconds_per_step * recipe.trainer.max_steps
        for job in built
        for cost, recipe in zip(costs[job.recipe_name], job.recipes, strict=True)
        if cost
    )
    disk = sum(_bytes(job, costs[job.recipe_name]) for job in built)
    n_workers = max(1, min(share.n_workers, len(to_do)))
    ended = [record for job in jobs if (record := read_record(out / job.id)) is not None and record.status == "done"]
    export = statistics.median(record.seconds.get("export", 0.0) for record in ended) if ended else 0.0
    n_done, n_failed = states.count("done"), states.count("failed")
    lines = [
        f"{len(jobs)} rows: {len(to_do)} to do, {n_done} done, {n_failed} failed earlier",
        *(_line(name, group, costs[name]) for name, group in groups.items() if name in costs),
        f"workers: {n_workers}, with {share.n_threads} thread{'s' if share.n_threads > 1 else ''} each",
        f"time: about {in_minutes((seconds + export * len(to_do)) / n_workers)}"
        + ("" if ended else " of training; exports come on top"),
        f"disk: about {disk / 1e9:.2g} GB",
        "Nothing was trained or written.",
    ]
    return "\n".join(lines)


def _costs(jobs: Sequence[Job], out: Path, device: str) -> dict[str, Costs]:
    """What one object of each recipe takes, stage by stage: of its first few rows, the first that can be built.

    A row's own settings change its number of steps, and are taken to change nothing else. Rows that cannot be built are
    named; they will fail when their turn comes, as a mesh does that is there and broken.

    Raises:
        UserError: none can be built.
    """
    costs: dict[str, Costs] = {}
    tried: Counter[str] = Counter()
    faults: list[UserError] = []
    for job in jobs:
        if job.recipe_name in costs or tried[job.recipe_name] == N_TRIED:
            continue
        tried[job.recipe_name] += 1
        try:
            costs[job.recipe_name] = measured_stages(_plan(job, out, device))
        except MachineError:
            raise
        except UserError as error:
            log.warning("row %d cannot be built: %s", job.row.number, error)
            faults.append(error)
    if not costs:
        raise faults[0]
    return costs


def _plan(job: Job, out: Path, device: str) -> Plan:
    return make_plan(Request(recipe=job.recipes, out=out, folder=out / job.id, device=device))


def _line(name: str, jobs: Sequence[Job], costs: Costs) -> str:
    """What rows of one recipe take, stage after stage."""
    said = [
        f"{cost.seconds_per_step:.2g} s a step, {_between([job.recipes[i].trainer.max_steps for job in jobs])} steps"
        for i, cost in enumerate(costs)
        if cost
    ]
    if None in costs:
        said.append("and stages that read what cannot be known before")
    memory = max(max(cost.step_gib, cost.drawing_gib) for cost in costs if cost)
    return f"{name}: {len(jobs)} rows, {', then '.join(said)}, {memory:.1f} GiB of memory"


def _between(numbers: Sequence[int]) -> str:
    least, most = min(numbers), max(numbers)
    return str(least) if least == most else f"{least} to {most}"


def _bytes(job: Job, costs: Costs) -> float:
    """Each stage's checkpoint, its copies of what it reads, and what it exports."""
    return sum(
        (cost.checkpoint_bytes if cost else 0) + _copied(recipe) + (EXPORTED_BYTES if recipe.exporters else 0)
        for cost, recipe in zip(costs, job.recipes, strict=True)
    )


def _copied(recipe: Recipe) -> int:
    inputs = copied_paths(recipe).values()
    return sum(file.stat().st_size for path in inputs for file in ([path] if path.is_file() else path.rglob("*")))

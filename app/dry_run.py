"""`--dry-run`: everything is built and gone through once, nothing is trained or written."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from app.building import build_exporters, ready_system
from app.machine import peak_memory_gib
from app.plan import Plan
from app.progress import in_minutes
from app.ranks import check_divisible
from app.rehearsal import rehearsed
from app.run import refuse_held
from app.stages import stage_names
from app.training import make_trainer
from core.errors import named
from core.recipe import Recipe
from systems.base import RAYS_AT_ONCE, LightningSystem
from systems.steps import within_memory

#: What precision puts around a step.
Context = Callable[[], AbstractContextManager[None]]
#: Steps of a training, evenly spaced, whose pictures' sizes are looked at.
N_SAMPLED = 20


@dataclass(frozen=True)
class Cost:
    """What a training takes, measured by going through it once."""

    n_trained: int
    """Parameters."""
    seconds_per_step: float
    step_gib: float
    """Memory at the peak of a step."""
    drawing_gib: float
    """Memory with the views of previews and exports."""

    @property
    def checkpoint_bytes(self) -> int:
        """Parameters, and the two numbers that Adam keeps for each."""
        return 3 * 4 * self.n_trained


def dry_run(plan: Plan) -> str:
    """Build everything, go once forward and backward without changing a parameter, draw views, and say what was seen.

    Raises:
        UserError: for every fault that a training would begin with.
    """
    costs = measured_stages(plan)
    recipes = plan.stages or (plan.recipe,)
    names = stage_names(plan.stages) or [""]
    lines, seconds = [plan.text()], 0.0
    for name, recipe, cost in zip(names, recipes, costs, strict=True):
        if cost is None:
            lines.append(f"{name} reads what cannot be known before: its time and memory come on top")
            continue
        of, n_steps = f" of {name}" if name else "", recipe.trainer.max_steps
        seconds += n_steps * cost.seconds_per_step
        whole = in_minutes(n_steps * cost.seconds_per_step)
        lines.append(f"trained parameters{of}: {cost.n_trained:,}")
        lines.append(f"time{of}: about {cost.seconds_per_step:.2g} s a step, {whole} for {n_steps}")
    if plan.stages:
        lines.append(f"time of all stages: about {in_minutes(seconds)}; exports come on top")
    of_gpu = " of the GPU" if plan.device == "cuda" else ""
    lines += [
        f"memory{of_gpu}: about {max(cost.step_gib for cost in costs if cost):.1f} GiB at the peak of a step, up to "
        f"{max(cost.drawing_gib for cost in costs if cost):.1f} GiB with the views of previews and exports "
        "(unwrapping and baking not counted)",
        "Everything fits. Nothing was trained or written.",
    ]
    return "\n".join(lines)


def measured_stages(plan: Plan) -> list[Cost | None]:
    """Go through each stage of a plan once, as far as that can be done before the others are trained.

    Raises:
        UserError: for every fault that a stage would begin with.
    """
    costs: list[Cost | None] = []
    with rehearsed(plan) as plans:
        for i, each in enumerate(plans):
            with named(f"stages.{i}" if plan.stages else ""):
                costs.append(measured(each) if each else None)
    return costs


def measured(plan: Plan) -> Cost:
    """Go through a training once.

    Raises:
        UserError: for every fault that a training would begin with.
    """
    recipe, device = plan.recipe, plan.device
    if plan.run is not None:
        refuse_held(plan)
    system, _ = ready_system(plan)
    if recipe.trainer.devices > 1:
        check_divisible(system, recipe.trainer.devices)
    build_exporters(recipe.exporters, system)
    # Lightning's own context, so that mixed precision costs here what it costs in the training.
    context = make_trainer(recipe.trainer, device, plan.out, []).precision_plugin.train_step_context
    _one_pass(system, context, 0)  # the first one loads libraries and fills caches
    seconds = _seconds_of_a_step(system, context)
    n_trained = sum(parameter.numel() for parameter in system.parameters() if parameter.requires_grad)
    adam_gib = 2 * 4 * n_trained / 2**30  # from the first step on, it keeps two numbers for each parameter
    in_training = peak_memory_gib() + adam_gib
    _draw_views(system, recipe)
    return Cost(n_trained, seconds, in_training, peak_memory_gib() + adam_gib)


def _seconds_of_a_step(system: LightningSystem, context: Context) -> float:
    """The mean over a training, whose pictures may grow; of steps that follow one picture, the first costs more."""
    total, n_alike = system.total_steps, system.guidance.view_needs.n_steps
    sizes = [system.size_at(i * total // N_SAMPLED) for i in range(N_SAMPLED)]
    seconds = 0.0
    for size in sorted(set(sizes)):
        first = -(-(sizes.index(size) * total // N_SAMPLED) // n_alike) * n_alike
        costs = [_one_pass(system, context, first + i) for i in range(min(n_alike, 2))]
        seconds += sizes.count(size) / N_SAMPLED * (costs[0] + (n_alike - 1) * costs[-1]) / n_alike
    return seconds


def _one_pass(system: LightningSystem, context: Context, number: int) -> float:
    """One step without an optimiser, in seconds."""
    start = time.monotonic()
    rng = torch.Generator(system.device).manual_seed(0)

    def step() -> float:
        system.zero_grad(set_to_none=True)
        loss, _ = system.compute_loss(number, rng)
        loss.backward()
        return float(loss.detach())  # waits for a GPU

    with context():
        within_memory(step, system)
    system.zero_grad(set_to_none=True)
    return time.monotonic() - start


def _draw_views(system: LightningSystem, recipe: Recipe) -> None:
    """The largest batch that is rendered for people: a whole one of a turntable, else a contact sheet's.

    Before the training no space is known to be empty, so that no later batch takes more.
    """
    size, n_shown = system.guidance.latent_size, recipe.trainer.n_preview_views
    n_together = max(1, RAYS_AT_ONCE // size**2)
    n_views = n_together if recipe.exporters else min(n_shown, n_together)
    render = system.render(system.surrounding_cameras(n_views, size), with_normals=True)
    system.decode(render.latents[:n_shown])

"""`--dry-run`: everything is built and gone through once, nothing is trained or written."""

import resource
import sys
import time

import torch

from app.building import build_exporters, ready_system
from app.plan import Plan
from app.training import Device, make_trainer
from core.recipe import Recipe
from systems.base import RAYS_AT_ONCE, LightningSystem


def dry_run(plan: Plan) -> str:
    """Build everything, go once forward and backward without changing a parameter, draw views, and say what was seen.

    Raises:
        UserError: for every fault that a training would begin with.
    """
    recipe, device = plan.recipe, plan.device
    system, _ = ready_system(plan)
    build_exporters(recipe.exporters, system)
    # Lightning's own context, so that mixed precision costs here what it costs in the training.
    context = make_trainer(recipe.trainer, device, plan.out, []).precision_plugin.train_step_context
    with context():
        _one_pass(system)  # the first one loads libraries and fills caches
    with context():
        seconds = _one_pass(system)
    n_trained = sum(parameter.numel() for parameter in system.parameters() if parameter.requires_grad)
    adam = 2 * 4 * n_trained  # from the first step on, it keeps two numbers for each parameter
    in_training = (_peak_bytes(device) + adam) / 2**30
    _draw_views(system, recipe)
    in_drawing = (_peak_bytes(device) + adam) / 2**30
    lines = [
        plan.text(),
        f"trained parameters: {n_trained:,}",
        f"time: about {seconds:.2g} s a step",
        f"memory{' of the GPU' if device == 'cuda' else ''}: about {in_training:.1f} GiB at the peak of a step, "
        f"up to {in_drawing:.1f} GiB with the views of previews and exports (unwrapping and baking not counted)",
        "Everything fits. Nothing was trained or written.",
    ]
    return "\n".join(lines)


def _one_pass(system: LightningSystem) -> float:
    """One step without an optimiser, in seconds."""
    start = time.monotonic()
    rng = torch.Generator(system.device).manual_seed(0)
    loss, _ = system.compute_loss(0, rng)
    loss.backward()
    float(loss.detach())  # waits for a GPU
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


def _peak_bytes(device: Device) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit

"""From a plan to what trains or renders: a system with its parts, its weights, and the exporters that fit it."""

import threading
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from app.live.edits import replay
from app.plan import Plan
from core.errors import UserError, first_misfit
from core.kinds import Exporter
from core.part import Choice, choices_in
from core.recipe import Recipe
from systems.base import LightningSystem
from systems.checkpoint_files import read_checkpoint

#: Parts take their first values from torch's global random stream, so they are built by one thread at a time.
_BUILDING = threading.Lock()


def build_system(recipe: Recipe) -> LightningSystem:
    """The method with all its parts, untrained.

    Raises:
        UserError: parts that do not fit each other, or a system that Lightning cannot train.
    """
    for choice in choices_in(recipe):
        choice.part.check_files(choice.config)
    with _BUILDING:
        system = recipe.system.build(recipe.prompt, recipe.seed, recipe.trainer.max_steps)
    if not isinstance(system, LightningSystem):
        raise UserError(f"system.type: '{recipe.system.part.part_name}' is no LightningSystem (systems/base.py)")
    system.environment = recipe.environment
    return system


def build_exporters(choices: Sequence[Choice[Exporter]], system: LightningSystem) -> list[Exporter]:
    """The exporters that a recipe or a program has chosen for a system.

    Raises:
        UserError: one line for each that cannot export this system, or cannot be built.
    """
    exporters = [choice.build() for choice in choices]
    geometry = getattr(system, "geometry", None)
    reasons = [
        exporter.misfit(type(system), geometry and type(geometry)) or exporter.accepts(system) for exporter in exporters
    ]
    named = enumerate(zip(exporters, reasons, strict=True))
    faults = [f"exporters.{i}: '{exporter.part_name}' {reason}" for i, (exporter, reason) in named if reason]
    if faults:
        raise UserError("\n".join(faults))
    return exporters


def ready_system(plan: Plan) -> tuple[LightningSystem, int]:
    """A plan's system on its device, prompt and backgrounds embedded; and how many steps it has been trained.

    Raises:
        UserError: for every fault of the input that can be found before the training.
    """
    system = build_system(plan.recipe)
    step = 0
    if plan.run is not None:
        step = load_weights(system, plan.run.checkpoint)
    elif plan.begins_with is None and system.refines:
        raise UserError(f"--from is missing: '{system.part_name}' goes on from a run; give --from RUN")
    system.to(plan.device)
    system.set_up()
    if plan.run is not None:
        replay(system, plan.run.folder, step)
    if plan.begins_with is not None:
        system.start_from(ready_system(plan.begins_with)[0])
    return system, step


def load_weights(system: nn.Module, checkpoint: Path) -> int:
    """Take the parameters and buffers of a checkpoint; gives the step after which it was written.

    Raises:
        UserError: the file is broken, or made by another recipe.
    """
    content = read_checkpoint(checkpoint)
    try:
        system.load_state_dict(content["state_dict"])
    except RuntimeError as error:
        raise UserError(f"{checkpoint}: does not fit this recipe: {first_misfit(error)}") from error
    return int(content["global_step"])

"""The way in for programs: train a recipe, open a run, look at it, export it.

    from app import api

    run = api.train("configs/latent-nerf.yaml", prompt="a red mushroom", overrides=["trainer.max_steps=100"])
    views = run.render(run.cameras(4))
    pictures = run.decode(views.latents)
    files = api.Run.load(run.folder).export()

One run trains at a time in a process. Errors that the caller can mend are UserErrors.
"""

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.misfits import hide_misfits

hide_misfits()  # before Lightning is imported

from app.building import build_exporters, ready_system
from app.events import Event, Listener, Previewed, Started, Trained, ignore
from app.inputs import keep_inputs
from app.live.edits import Edits, Steering
from app.lock import locked
from app.plan import Plan, Request, make_plan
from app.ranks import fit_together
from app.run import Run, write_files
from app.run_folder import (
    begin_anew,
    is_exported,
    make_run_folder,
    mark_exported,
    remove_new_run,
    write_prompt,
    write_recipe,
)
from app.stages import carry_out_each, write_stages
from app.stopping import Stop
from app.training import Ending, StepEvents
from core.errors import DivergedError, UserError, named
from core.failures import machine_told
from core.recipe import Recipe
from exporters.stages import enclosing_run, stage_folders
from systems.base import LightningSystem
from systems.callbacks import MetricsLog, Previews
from systems.checkpoint_files import newest_whole, step_of
from systems.checkpoints import Checkpoints
from systems.finite_steps import FiniteSteps

__all__ = ["Run", "carry_out", "train", "untrained_system"]

log = logging.getLogger(__name__)

#: Held by the one run of this process that is being trained.
_TRAINING = threading.Lock()


def train(
    recipe: str | Path | Recipe,
    prompt: str | None = None,
    *,
    overrides: Sequence[str] = (),
    out: str | Path = "runs",
    resume: bool | str | Path = False,
    allow_changed: bool = False,
    start_from: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    device: str = "auto",
    trust: bool = False,
    export: bool = True,
    on_event: Listener = ignore,
    stop: Stop | None = None,
    steering: Steering | None = None,
) -> Run:
    """Train a recipe in a folder of its own, and export the result.

    Args:
        recipe: its file; or what `core.recipe` has read.
        prompt: what to make; None: as the recipe says.
        overrides: `key.sub=value` texts that win over the recipe's file.
        out: the folder that new runs go into.
        resume: the run to go on with; or True: the newest one of the same recipe and prompt, if there is one.
        allow_changed: go on with a run also where the recipe has changed since.
        start_from: a run whose result the training begins with.
        plugins: files with further parts.
        device: cpu, cuda, or auto.
        trust: whether plugins may be run that a run, or another user's recipe, names.
        export: whether the recipe's exporters write their files at the end.
        on_event: called with each event (app/events.py) between two steps: while it waits, the training waits.
        stop: ends the training after the step that it is in, when asked to; nothing is exported then.
        steering: takes changes of the prompt and of settings while it trains (app/live/edits.py).

    Raises:
        UserError: for everything that the caller can mend.
        ExportError: of these, that the run is trained and an exporter has failed.
    """
    request = Request(
        recipe=recipe if isinstance(recipe, Recipe) else Path(recipe),
        prompt=prompt,
        overrides=tuple(overrides),
        plugins=tuple(map(Path, plugins)),
        start_from=Path(start_from) if start_from else None,
        run=None if isinstance(resume, bool) else Path(resume),
        newest=resume is True,
        allow_changed=allow_changed,
        out=Path(out),
        device=device,
        trust=trust,
    )
    return carry_out(make_plan(request), export=export, on_event=on_event, stop=stop, steering=steering)


def carry_out(
    plan: Plan,
    *,
    export: bool = True,
    on_event: Listener = ignore,
    stop: Stop | None = None,
    steering: Steering | None = None,
) -> Run:
    """Train what a plan says; see `train`.

    Raises:
        UserError: parts that do not fit, a folder that cannot be used.
        DivergedError: the training gives no finite numbers any more.
        ExportError: an exporter has failed; it holds the run.
    """
    stop, steering = stop or Stop(), steering or Steering()
    if plan.stages:
        return _carry_out_stages(plan, export, on_event, stop, steering)
    with machine_told(), _alone(), _opened(plan) as begun:
        run = begun if begun.is_finished else replace(begun, step=_train(plan, begun, on_event, stop, steering))
        on_event(Trained(run.folder, run.step, run.recipe.trainer.max_steps))
        if not export or not run.is_finished or stop.is_requested or is_exported(run.folder):
            return run
        run = replace(run, files=tuple(write_files(run, run.recipe.exporters, on_event)))
        mark_exported(run.folder, True)
        return run


def _carry_out_stages(plan: Plan, export: bool, on_event: Listener, stop: Stop, steering: Steering) -> Run:
    """One run after the other, the files of each being what the next may read."""
    folder = plan.folder or make_run_folder(plan.out, *plan.stages)
    folder.mkdir(parents=True, exist_ok=True)
    made: list[Run] = []

    def tell(event: Event) -> None:
        on_event(replace(event, folder=folder) if isinstance(event, Trained) else event)  # what can be gone on with

    def train_one(i: int, recipe: Recipe, stage: Path) -> bool:
        is_last = i == len(plan.stages) - 1
        with named(f"stages.{i}"):
            own = make_plan(Request(recipe=recipe, folder=stage, device=plan.device, allow_changed=plan.allow_changed))
            made.append(carry_out(own, export=export or not is_last, on_event=tell, stop=stop, steering=steering))
        return made[-1].is_finished and not stop.is_requested

    with machine_told(), ExitStack() as building, locked(folder):
        if plan.folder is None:
            building.callback(remove_new_run, folder, with_parent=False)
        write_stages(folder, plan.stages)
        try:
            carry_out_each(folder, plan.stages, train_one)
        finally:
            if begun := [stage for stage in stage_folders(folder) if (stage / "recipe.yaml").is_file()]:
                building.pop_all()
    return replace(made[-1], folder=folder, stages=tuple(begun))


def untrained_system(
    recipe: str | Path, prompt: str | None = None, *, overrides: Sequence[str] = (), device: str = "auto"
) -> LightningSystem:
    """The system of a recipe as it is before its first step, on its device; nothing is written.

    Raises:
        UserError: for everything that the caller can mend.
    """
    request = Request(recipe=Path(recipe), prompt=prompt, overrides=tuple(overrides), device=device)
    return ready_system(make_plan(request))[0]


def _train(plan: Plan, run: Run, on_event: Listener, stop: Stop, steering: Steering) -> int:
    """All steps, or those until it is asked to stop; gives how many are done altogether.

    A training that is no longer finite goes back to its last checkpoint once, and on with other random numbers.
    """
    config, folder = run.recipe.trainer, run.folder
    finite, metrics = FiniteSteps(), MetricsLog(folder, config.logger)
    saver = Checkpoints(folder, config.checkpoint_every, config.checkpoint_minutes)

    def show(step: int, path: Path, sheet: NDArray[np.uint8]) -> None:
        metrics.show(step, sheet)
        on_event(Previewed(step, path))

    previews = Previews(folder, config.preview_every, config.n_preview_views, show)
    # What a listener requests after a step ends the training with that step, before previews are drawn.
    callbacks = [saver, finite, metrics, StepEvents(on_event), Edits(folder, steering), Ending(stop, saver), previews]
    mark_exported(folder, False)
    on_event(Started(folder, run.system, run.step, config.max_steps))
    checkpoint = plan.run.checkpoint if plan.run else None
    while True:
        try:
            trainer = fit_together(plan, run, checkpoint, callbacks, finite.n_returns, stop)
        except DivergedError as error:
            checkpoint = newest_whole(folder)
            if finite.has_gone_back or checkpoint is None:
                raise DivergedError(f"{error}, also after going back once. {_what_to_try(folder)}") from error
            finite.go_back()
            log.warning("%s; going back to step %d, and on with other random numbers", error, step_of(checkpoint))
        else:
            run.system.to(plan.device)  # Lightning has taken it back to the CPU
            return trainer.global_step


def _what_to_try(folder: Path) -> str:
    return (
        "Lower the learning rates or the guidance's guidance_scale, or set trainer.gradient_clip=1 or "
        f"trainer.precision=32-true: python launch.py --resume {enclosing_run(folder)} --allow-changed KEY=VALUE"
    )


@contextmanager
def _opened(plan: Plan) -> Iterator[Run]:
    """The run of a plan, its system built, its folder locked; a new one is removed where its training cannot begin."""
    with ExitStack() as building, ExitStack() as working:
        if plan.run is not None:
            folder, recipe = plan.run.folder, plan.recipe
            working.enter_context(locked(folder))
        else:
            is_first = not plan.out.exists()
            folder = plan.folder or make_run_folder(plan.out, plan.recipe)
            folder.mkdir(parents=True, exist_ok=True)
            if plan.folder is None:
                building.callback(remove_new_run, folder, with_parent=is_first)
            working.enter_context(locked(folder))
            if plan.folder is not None:
                begin_anew(folder)
            recipe = keep_inputs(plan.recipe, folder)
            write_prompt(folder, recipe.shown_prompt)
        system, step = ready_system(replace(plan, recipe=recipe))
        build_exporters(recipe.exporters, system)
        write_recipe(folder, recipe)
        yield Run(folder, recipe, system, step)


@contextmanager
def _alone() -> Iterator[None]:
    """Refuse a second training in this process: they would share torch's and Lightning's global state."""
    if not _TRAINING.acquire(blocking=False):
        raise UserError("a run is being trained in this process already; wait for it, or train in another process")
    try:
        yield
    finally:
        _TRAINING.release()

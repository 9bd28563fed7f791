"""The way in for programs: train a recipe, open a run, look at it, export it.

    from app import api

    run = api.train("configs/latent-nerf.yaml", prompt="a red mushroom", overrides=["trainer.max_steps=100"])
    views = run.render(run.cameras(4))
    pictures = run.decode(views.latents)
    files = api.Run.load(run.folder).export()

One run trains at a time in a process. Errors that the caller can mend are UserErrors.
"""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from app.building import build_exporters, ready_system
from app.events import Exported, Listener, Previewed, Started, Stop, Trained, ignore
from app.inputs import keep_inputs
from app.plan import Plan, Request, make_plan
from app.run_folder import locked, make_run_folder, remove_new_run, write_prompt, write_recipe
from app.training import StepEvents, fit, make_trainer
from core.errors import UserError
from core.kinds import Exporter
from core.part import Choice
from core.recipe import Recipe
from core.types import Cameras, RenderOutput
from systems.base import LightningSystem
from systems.callbacks import Checkpoints, MetricsLog, Previews
from systems.loggers import log_picture, open_loggers

_TRAINING = threading.Lock()


@dataclass(frozen=True, eq=False)
class Run:
    """A run's folder and the system that was trained in it, on its device and ready to render."""

    folder: Path
    recipe: Recipe
    system: LightningSystem
    step: int
    """Steps that it has been trained."""
    files: tuple[Path, ...] = ()
    """What the exporters have written at the end of its training; empty for a run that was loaded."""

    @property
    def is_finished(self) -> bool:
        """Whether all steps of its recipe are done; not where the training was asked to stop."""
        return self.step >= self.recipe.trainer.max_steps

    @classmethod
    def load(cls, folder: str | Path, *, overrides: Sequence[str] = (), device: str = "auto") -> "Run":
        """Open a trained run.

        Args:
            folder: of the run; or a checkpoint in it.
            overrides: `key.sub=value` texts that win over its recipe, such as `exporter.format=obj`.
            device: cpu, cuda, or auto.

        Raises:
            UserError: there is no such run, or it does not fit its recipe.
        """
        return open_run(make_plan(Request(run=Path(folder), overrides=tuple(overrides), device=device, trained=True)))

    def cameras(self, n_views: int, size: int | None = None) -> Cameras:
        """Fixed views around the object from its front on.

        Args:
            size: of the rendered latents, in rows and columns; None: as guidance works.
        """
        return self.system.validation_cameras(n_views, size or self.system.guidance.latent_size)

    def render(self, cameras: Cameras, with_normals: bool = False) -> RenderOutput:
        """Latents, opacity and depth of views."""
        return self.system.render(cameras, with_normals)

    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Rendered latents to pictures, RGB in [0, 1]."""
        return self.system.decode(latents)

    def export(self, exporters: Sequence[Choice[Exporter]] | None = None, on_event: Listener = ignore) -> list[Path]:
        """Let exporters write their files into the run's folder; one that fails does not hold up the others.

        Args:
            exporters: None: those of the recipe.

        Raises:
            UserError: one does not fit the system, or another process works in the folder.
            ExportError: what the failed ones say, after all have had their turn.
        """
        with locked(self.folder):
            return self._export(exporters, on_event)

    def _export(self, exporters: Sequence[Choice[Exporter]] | None, on_event: Listener) -> list[Path]:
        chosen = self.recipe.exporters if exporters is None else tuple(exporters)
        files: list[Path] = []
        faults: list[str] = []
        for exporter in build_exporters(chosen, self.system):
            start = time.monotonic()
            try:
                made = exporter.export(self.system, self.folder)
            except UserError as error:
                faults.append(f"{exporter.part_name}: {error}")
                continue
            on_event(Exported(exporter.part_name, tuple(made), time.monotonic() - start))
            files += made
        if faults:
            raise ExportError("\n".join(faults), self, files)
        return files


class ExportError(UserError):
    """Some exporters have failed; the others have written their files."""

    def __init__(self, message: str, run: Run, files: Sequence[Path]) -> None:
        super().__init__(message)
        self.run, self.files = run, tuple(files)


def train(
    recipe: str | Path | Recipe,
    prompt: str | None = None,
    *,
    overrides: Sequence[str] = (),
    out: str | Path = "runs",
    resume: bool | str | Path = False,
    start_from: str | Path | None = None,
    plugins: Sequence[str | Path] = (),
    device: str = "auto",
    export: bool = True,
    on_event: Listener = ignore,
    stop: Stop | None = None,
) -> Run:
    """Train a recipe in a folder of its own, and export the result.

    Args:
        recipe: its file; or what `core.recipe` has read.
        prompt: what to make; None: as the recipe says.
        overrides: `key.sub=value` texts that win over the recipe's file.
        out: the folder that new runs go into.
        resume: True goes on with the newest run of the same recipe and prompt, if there is one; or the run to go on
            with.
        start_from: a run whose result the training begins with.
        plugins: files with further parts.
        device: cpu, cuda, or auto.
        export: whether the recipe's exporters write their files at the end.
        on_event: called with each event (app/events.py) between two steps: while it waits, the training waits.
        stop: ends the training after the step that it is in, when asked to; nothing is exported then.

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
        out=Path(out),
        device=device,
    )
    return carry_out(make_plan(request), export=export, on_event=on_event, stop=stop)


def carry_out(plan: Plan, *, export: bool = True, on_event: Listener = ignore, stop: Stop | None = None) -> Run:
    """Train what a plan says; see `train`.

    Raises:
        UserError: parts that do not fit, a folder that cannot be used, a loss that is no number any more.
        ExportError: an exporter has failed; it holds the run.
    """
    stop = stop or Stop()
    with _alone(), _opened(plan) as begun:
        run = replace(begun, step=_train(plan, begun, on_event, stop))
        on_event(Trained(run.folder, run.step, run.recipe.trainer.max_steps))
        if not export or not run.is_finished:
            return run
        return replace(run, files=tuple(run._export(None, on_event)))


def open_run(plan: Plan) -> Run:
    """The trained run of a plan that asks for one.

    Raises:
        UserError: it does not fit its recipe.
    """
    if plan.run is None:
        raise UserError("name a run: --export RUN, --validate RUN or --test RUN, or --config with --resume auto")
    return Run(plan.run.folder, plan.recipe, *ready_system(plan))


def _train(plan: Plan, run: Run, on_event: Listener, stop: Stop) -> int:
    """All steps, or those until it is asked to stop; gives how many are done altogether."""
    config, folder = run.recipe.trainer, run.folder
    metrics = MetricsLog(partial(open_loggers, config.logger, folder))

    def show(step: int, path: Path, sheet: NDArray[np.uint8]) -> None:
        log_picture(metrics.loggers, step, sheet)
        on_event(Previewed(step, path))

    callbacks = [
        StepEvents(on_event),
        metrics,  # before what is saved: it watches the loss
        Checkpoints(folder, config.checkpoint_every),
        Previews(folder, config.preview_every, config.n_preview_views, show),
    ]
    trainer = make_trainer(config, plan.device, folder, callbacks)
    on_event(Started(folder, run.step, config.max_steps))
    fit(trainer, run.system, plan.run.checkpoint if plan.run else None, stop)
    run.system.to(plan.device)  # Lightning has taken it back to the CPU
    return trainer.global_step


@contextmanager
def _opened(plan: Plan) -> Iterator[Run]:
    """The run of a plan, its system built, its folder locked; a new folder is removed again where building fails."""
    with ExitStack() as building, ExitStack() as working:
        if plan.run is not None:
            folder, recipe = plan.run.folder, plan.recipe
            working.enter_context(locked(folder))
        else:
            is_first = not plan.out.exists()
            folder = make_run_folder(plan.out, plan.recipe)
            building.callback(remove_new_run, folder, with_parent=is_first)
            working.enter_context(locked(folder))
            recipe = keep_inputs(plan.recipe, folder)
            write_prompt(folder, recipe.prompt)
        system, step = ready_system(replace(plan, recipe=recipe))
        build_exporters(recipe.exporters, system)
        write_recipe(folder, recipe)
        building.pop_all()  # from here on, what is in the folder is worth keeping
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

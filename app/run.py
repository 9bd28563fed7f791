"""A trained run: opened, looked at from any side, exported."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from app.building import build_exporters, ready_system
from app.events import Exported, Listener, ignore
from app.lock import locked
from app.plan import Plan, Request, make_plan
from app.run_folder import TrainedRun
from app.stages import publish
from core.errors import UserError
from core.failures import machine_told, told
from core.kinds import Exporter
from core.part import Choice
from core.recipe import Recipe
from core.types import Cameras, RenderOutput
from exporters.stages import stage_folders, whole_run
from systems.base import LightningSystem


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
    stages: tuple[Path, ...] = ()
    """The folders of its stages that have begun, in order, where it has several; the system is the last one's."""

    @property
    def is_finished(self) -> bool:
        """Whether all steps of its recipe are done; not where the training was asked to stop."""
        return self.step >= self.recipe.trainer.max_steps

    @classmethod
    def load(
        cls, folder: str | Path, *, overrides: Sequence[str] = (), device: str = "auto", trust: bool = False
    ) -> "Run":
        """Open a trained run.

        Args:
            folder: of the run; or a checkpoint in it.
            overrides: `key.sub=value` texts that win over its recipe, such as `exporter.format=obj`.
            device: cpu, cuda, or auto.
            trust: whether its plugins may be run where they have never been on this account.

        Raises:
            UserError: there is no such run, or it does not fit its recipe.
        """
        request = Request(run=Path(folder), overrides=tuple(overrides), device=device, trained=True, trust=trust)
        return open_run(make_plan(request))

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
        own = replace(self, folder=self.stages[-1]) if self.stages else self
        with machine_told(), locked(own.folder):
            return write_files(own, self.recipe.exporters if exporters is None else exporters, on_event)


class ExportError(UserError):
    """Some exporters have failed; the others have written their files. The first one's error is the cause."""

    def __init__(self, message: str, run: Run, files: Sequence[Path], exit_code: int = 2) -> None:
        super().__init__(message)
        self.run, self.files, self.exit_code = run, tuple(files), exit_code


def refuse_held(plan: Plan) -> None:
    """Say before anything is built that another process works in the folder of a plan's run.

    Raises:
        UserError: the plan has no run.
        MachineError: another process works there.
    """
    with locked(whole_run(_run_of(plan).folder)):
        pass


def open_run(plan: Plan) -> Run:
    """The trained run of a plan that asks for one.

    Raises:
        UserError: it does not fit its recipe.
    """
    with machine_told():
        return as_whole(Run(_run_of(plan).folder, plan.recipe, *ready_system(plan)))


def _run_of(plan: Plan) -> TrainedRun:
    if plan.run is None:
        raise UserError("name a run: --export RUN, --validate RUN or --test RUN, or --config with --resume auto")
    return plan.run


def as_whole(run: Run) -> Run:
    """The run of all stages, of one that is the last of several; else the run itself."""
    folder = whole_run(run.folder)
    return run if folder == run.folder else replace(run, folder=folder, stages=tuple(stage_folders(folder)))


def write_files(run: Run, exporters: Sequence[Choice[Exporter]], on_event: Listener) -> list[Path]:
    """What `Run.export` does, in a folder that is locked already.

    Raises:
        UserError: an exporter does not fit the system.
        ExportError: what the failed ones say, after all have had their turn.
    """
    files: list[Path] = []
    faults: list[tuple[str, Exception]] = []
    for exporter in build_exporters(exporters, run.system):
        start = time.monotonic()
        try:
            made = exporter.export(run.system, run.folder)
            if not isinstance(made, list | tuple) or not all(isinstance(path, Path) for path in made):
                raise exporter.wrong_result(made, "export: a list of paths")
        except Exception as error:  # whatever it is, the others have their turn
            faults.append((exporter.part_name, error))
            continue
        on_event(Exported(exporter.part_name, tuple(made), time.monotonic() - start))
        files += made
    if faults:
        lines = [f"{name}: {told(error)}" for name, error in faults]
        first = faults[0][1]
        raise ExportError("\n".join(lines), run, files, told(first).exit_code) from first
    return publish(run.folder, files)

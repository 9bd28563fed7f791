"""From what a command or a program asks for to what will run: the recipe, the run, the device; all of it checked."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from app.inputs import copied_paths, with_copies
from app.live.edits import last_prompt
from app.machine import Device, check_out, resolve_device, resolve_precision
from app.parts import register_parts
from app.recipe_changes import refuse_changes
from app.run_folder import TrainedRun, find_run, is_exported, latest_run, latest_stages, read_prompt, run_name
from app.stages import check_later_inputs, stage_names, with_prompts_of
from core.environment import from_environment
from core.errors import UserError
from core.part import Choice
from core.recipe import Recipe, read_recipe, with_named_exporters
from core.recipe_layers import Overrides, file_layers
from core.stages import stages_of
from exporters.stages import stage_folders
from systems.checkpoint_files import newest_whole
from systems.loggers import require_loggers

log = logging.getLogger(__name__)

LONGEST_PROMPT_SHOWN = 500


@dataclass(frozen=True)
class Request:
    """What is asked for, nothing read yet. Relative paths start from the current folder; a NUL in one is refused."""

    recipe: Path | Recipe | tuple[Recipe, ...] | None = None
    """The recipe's file; or what was read from one, for each stage where there are several. None: that of `run`."""
    prompt: str | None = None
    """What to make; None: as the recipe says."""
    overrides: tuple[str, ...] = ()
    """`key.sub=value` texts that win over the recipe's file."""
    plugins: tuple[Path, ...] = ()
    """Files with further parts."""
    start_from: Path | None = None
    """The run that training begins with; None: as the recipe says."""
    run: Path | None = None
    """The run to go on with, or to look at: its folder or a checkpoint in it."""
    newest: bool = False
    """Go on with the newest run of the same recipe and prompt, if there is one."""
    allow_changed: bool = False
    """Go on with a run also where the recipe has changed since."""
    trained: bool = False
    """There must be a trained run: `run`, or else the newest one of the same recipe and prompt."""
    out: Path = Path("runs")
    """The folder that new runs go into."""
    folder: Path | None = None
    """The run's own folder: made or begun anew, or gone on with where it has a checkpoint. None: one of `out`."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    trust: bool = False
    """Whether plugins may be loaded that a run or another user's recipe names; each is a program."""

    def __post_init__(self) -> None:
        for path in (self.recipe, self.start_from, self.run, self.out, self.folder, *self.plugins):
            if isinstance(path, Path) and "\0" in str(path):
                raise UserError(f"{str(path)!r}: no path has a NUL in it")


@dataclass(frozen=True)
class Plan:
    """All that is decided before anything is built: the recipe, its run and folder, device and precision."""

    recipe: Recipe
    run: TrainedRun | None
    """The run that it goes on with or looks at; None: a new one."""
    begins_with: "Plan | None"
    """The trained run whose result a new one begins with."""
    out: Path
    device: Device
    precision: Any
    """Lightning's name of it."""
    allow_changed: bool = False
    """Whether runs may be gone on with though their recipe has changed."""
    folder: Path | None = None
    """Of a new run whose folder was named; None: one of `out` that has the run's name."""
    stages: tuple[Recipe, ...] = ()
    """The recipes of all stages, where there are several; the rest of the plan is that of the first one."""

    @property
    def copies(self) -> dict[str, Path]:
        """What a new run keeps a copy of, by setting."""
        return copied_paths(self.recipe) if self.run is None else {}

    @property
    def done(self) -> Path | None:
        """The folder of the run that it goes on with, where all is trained and exported."""
        run, recipe = self.run, self.recipe
        if self.stages and self.folder is not None:
            run, recipe = _begun(stage_folders(self.folder)[-1]), self.stages[-1]
        if run is None or run.step < recipe.trainer.max_steps or not is_exported(run.folder):
            return None
        return self.folder or run.folder

    def text(self) -> str:
        """The plan in lines for people."""
        recipe, settings = self.recipe, vars(self.recipe.system.config)
        named = [f"{key} {choice.part.part_name}" for key, choice in settings.items() if isinstance(choice, Choice)]
        losses = [name for name, term in settings.get("losses", {}).items() if isinstance(term, Choice)]
        start = self.begins_with.run if self.begins_with else None
        own = self.folder or self.out / run_name(*(self.stages or (recipe,)))
        folder = f"{self.run.folder} (resumed)" if self.run else str(own)
        divided = f", the views of each divided among {n} processes" if (n := recipe.trainer.devices) > 1 else ""
        lines = [
            f"prompt: {_short(recipe.shown_prompt)}",
            f"system: {recipe.system.part.part_name} ({', '.join(named)})",
            *([f"losses beside the guidance's: {', '.join(losses)}"] if losses else []),
            *([f"begins with: {start.folder}"] if start else []),
            f"steps: {recipe.trainer.max_steps} on {self.device} in {self.precision}{divided}",
            f"run folder: {folder}",
            *[f"copied into it: {path} ({key})" for key, path in self.copies.items()],
            f"numbers are logged as: {', '.join(recipe.trainer.logger) or 'nothing'}",
            f"then: {_exported(recipe)}",
        ]
        for name, stage in list(zip(stage_names(self.stages), self.stages, strict=True))[1:]:
            lines.append(f"then: {name}, {stage.trainer.max_steps} steps; {_exported(stage)}")
        return "\n".join(lines)


def make_plan(request: Request) -> Plan:
    """Read and check everything that can be known before a part is built.

    Raises:
        UserError: no recipe or a faulty one, a run or checkpoint that is not there or is not of this prompt, a device
            or a logger that this machine lacks.
    """
    register_parts()
    folders = stage_folders(request.run) if request.run else []
    if folders and request.trained:
        return make_plan(replace(request, run=folders[-1]))
    recipes = request.recipe
    if isinstance(recipes, Path) or folders:
        path = recipes if isinstance(recipes, Path) else (request.run or Path()) / "recipe.yaml"
        said = [Overrides(request.overrides, Path.cwd())]
        recipes = stages_of(file_layers(path), said, path, request.plugins, request.trust)
    if isinstance(recipes, tuple) and len(recipes) > 1:
        return _plan_of_stages(request, recipes)
    return _plan_of_one(replace(request, recipe=next(iter(recipes))) if isinstance(recipes, tuple) else request)


def _plan_of_stages(request: Request, recipes: tuple[Recipe, ...]) -> Plan:
    """The plan of the first stage, and the recipes of all."""
    if request.run is not None and not stage_folders(request.run):
        find_run(request.run)
        raise UserError(f"--resume: {request.run} has no stages, this recipe has {len(recipes)}; leave --config out")
    folder = request.run or request.folder
    if folder is not None and (folder / "prompt.txt").is_file():
        recipes = with_prompts_of(folder, recipes)
    elif request.prompt is not None:
        recipes = tuple(replace(recipe, prompt=request.prompt) for recipe in recipes)
    if request.newest or request.trained:
        folder = latest_stages(request.out, recipes)
    if request.trained:
        if folder is None:
            raise UserError(f"{request.out / run_name(*recipes)}: this command has no run; train first")
        last = stage_folders(folder)[-1]
        return _plan_of_one(Request(run=last, trained=True, device=request.device, trust=request.trust))
    check_later_inputs(recipes, folder)
    own = replace(request, recipe=recipes[0], run=None, newest=False, prompt=None, overrides=(), plugins=())
    first = folder / stage_names(recipes)[0] if folder else None
    return replace(_plan_of_one(replace(own, folder=first)), folder=folder, stages=recipes)


def _plan_of_one(request: Request) -> Plan:
    run = find_run(request.run) if request.run else _begun(request.folder)
    recipe = _recipe(request, run)
    if run is None and (request.newest or request.trained):
        run = latest_run(request.out, recipe)
        if run is None and request.trained:
            name = request.out / run_name(recipe)
            raise UserError(f"{name}: this command has no run with a checkpoint; train first")
        if run is None:
            log.info("Nothing to resume: %s/ has no run of this recipe and prompt with a checkpoint", request.out)
    if run is not None:
        recipe = with_copies(recipe, run.folder)
        if not request.trained and not (request.allow_changed and request.start_from is None):
            before = read_recipe(run.folder / "recipe.yaml", trust=request.trust)
            now = recipe if request.start_from else replace(recipe, start_from=before.start_from)
            refuse_changes(run.folder, before, now, request.allow_changed)
    elif not request.trained:
        check_out(request.out, _checkpoint_bytes(recipe))
    if request.trained:
        recipe = with_named_exporters(recipe, request.overrides)
    device = resolve_device(request.device, 1 if request.trained else recipe.trainer.devices)
    require_loggers(recipe.trainer.logger)
    return Plan(
        recipe=recipe,
        run=run,
        begins_with=_start(recipe, request) if run is None and recipe.start_from else None,
        out=request.out,
        device=device,
        precision=resolve_precision(recipe.trainer.precision, device),
        allow_changed=request.allow_changed,
        folder=request.folder,
    )


def _begun(folder: Path | None) -> TrainedRun | None:
    """The run in a folder that was named for it, once it has a recipe and a checkpoint."""
    checkpoint = newest_whole(folder) if folder and (folder / "recipe.yaml").is_file() else None
    return TrainedRun(folder, checkpoint) if folder and checkpoint else None


def _checkpoint_bytes(recipe: Recipe) -> int:
    """What a run's checkpoints take, two that are kept and one in writing: each trained number and Adam's two."""
    geometry = getattr(recipe.system.config, "geometry", None)  # a system may train something else
    n_numbers = getattr(geometry.config, "n_numbers", 0) if geometry else 0
    return 3 * 12 * n_numbers + 2**20


def _recipe(request: Request, run: TrainedRun | None) -> Recipe:
    """The recipe with the prompt and the run to begin with, which the request may give apart from it."""
    recipe = request.recipe
    if recipe is None and run is not None:
        own = run.folder / "recipe.yaml"
        recipe = read_recipe(own, request.overrides, request.plugins, trust=request.trust)
    if not isinstance(recipe, Recipe):
        raise UserError("--config is missing: name a recipe, such as --config configs/latent-nerf.yaml")
    start = request.start_from.resolve() if request.start_from else recipe.start_from
    recipe = replace(recipe, start_from=start, prompt=recipe.prompt if request.prompt is None else request.prompt)
    if run is not None:
        recipe = _with_prompt_of(recipe, run.folder)
        if request.prompt not in (None, recipe.prompt):
            made_for = f"{run.folder} was made for {_short(recipe.shown_prompt)}"
            raise UserError(f"--prompt: {made_for}; leave --prompt out, or start a new run")
    elif not recipe.prompt and start is not None:
        folder = start.parent.parent if start.is_file() else start
        recipe = _with_prompt_of(recipe, folder)
        recipe = replace(recipe, prompt=last_prompt(folder) or recipe.prompt)
    return recipe


def _with_prompt_of(recipe: Recipe, folder: Path) -> Recipe:
    """The same recipe for the prompt of a run: its raw text, or what its recipe says of the environment."""
    own = folder / "recipe.yaml"
    named = [one for one in from_environment(file_layers(own)[-1].tree if own.is_file() else {}) if one.key == "prompt"]
    prompt = named[0].value if named else read_prompt(folder)
    return replace(recipe, prompt=prompt, environment=(*recipe.environment, *named))


def _start(recipe: Recipe, request: Request) -> Plan:
    """The plan of the run that another one begins with; it is built, not trained."""
    return make_plan(Request(run=recipe.start_from, trained=True, device=request.device, trust=request.trust))


def _exported(recipe: Recipe) -> str:
    return ", ".join(choice.part.part_name for choice in recipe.exporters) or "no exporters"


def _short(prompt: str) -> str:
    """A prompt for people, in quotes; of a very long one its beginning."""
    return repr(prompt) if len(prompt) <= LONGEST_PROMPT_SHOWN else f"{prompt[:LONGEST_PROMPT_SHOWN]!r} ..."

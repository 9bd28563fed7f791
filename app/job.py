"""From the options of a command to what it works on: a checked recipe, a run and its checkpoint, a system."""

import argparse
import pickle
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from app.parts import load_plugin
from app.run_folder import latest_checkpoint, latest_run, read_prompt, run_name
from app.training import Device
from core.errors import UserError, nearest_word
from core.recipe import Recipe, load_recipe, read_recipe
from systems.base import LightningSystem


@dataclass(frozen=True)
class Job:
    """What to run, and the run that it goes on with, if any."""

    recipe: Recipe
    folder: Path | None
    checkpoint: Path | None


def find_job(options: argparse.Namespace) -> Job:
    """The recipe that a command asks for, checked, with plugins loaded; and the run it names.

    Raises:
        UserError: no recipe, a faulty one, a run or checkpoint that is not there, or a prompt that is not the run's.
    """
    named = next((given for given in (options.validate, options.test, options.export) if given), options.resume)
    looks_back = any(given is not None for given in (options.validate, options.test, options.export))
    checkpoint = _checkpoint_of(Path(named)) if named and named != "auto" else None
    folder = checkpoint.parent.parent if checkpoint else None
    path = options.config or (folder / "recipe.yaml" if folder else None)
    if path is None:
        raise UserError("--config is missing: name a recipe, such as --config configs/latent-nerf.yaml")
    recipe = _read(path, options)
    if folder is not None:
        recipe = replace(recipe, prompt=_own_prompt(folder, options.prompt))
    if folder is None and (options.resume == "auto" or looks_back):
        folder = latest_run(options.out, recipe)
        checkpoint = latest_checkpoint(folder) if folder else None
        if folder is None and looks_back:
            raise UserError(f"{options.out / run_name(recipe)}: this command has no run with a checkpoint; train first")
    return Job(recipe, folder, checkpoint)


def build_system(recipe: Recipe) -> LightningSystem:
    """The method with all its parts.

    Raises:
        UserError: parts that do not fit each other, or a system that Lightning cannot train.
    """
    system = recipe.system.build(recipe.prompt, recipe.seed, recipe.trainer.max_steps)
    if not isinstance(system, LightningSystem):
        raise UserError(f"system.type: '{recipe.system.part.part_name}' is no LightningSystem (systems/base.py)")
    return system


def start_stage(system: LightningSystem, recipe: Recipe, device: Device) -> None:
    """Let a system begin with the result of the run that its recipe names, if any; it is on its device afterwards.

    Raises:
        UserError: the method cannot do without such a run, there is none, or it does not fit.
    """
    if recipe.start_from is None:
        if system.continues:
            raise UserError(f"--from is missing: '{system.part_name}' goes on from a run; give --from RUN")
        return
    checkpoint = _checkpoint_of(recipe.start_from)
    folder = checkpoint.parent.parent
    mapping = load_recipe(folder / "recipe.yaml")
    for plugin in mapping.get("plugins", []):
        load_plugin(Path(plugin))
    theirs = replace(read_recipe(mapping), prompt=read_prompt(folder))
    other, _ = trained_system(Job(theirs, folder, checkpoint), device)
    system.to(device)
    system.prepare()
    system.take_over(other)


def trained_system(job: Job, device: Device) -> tuple[LightningSystem, Path]:
    """A run's system with the weights of its last checkpoint, on the device, ready to render.

    Raises:
        UserError: the run has none, or it does not fit the recipe.
    """
    if job.folder is None or job.checkpoint is None:
        raise UserError("name a run: --export RUN, --validate RUN or --test RUN, or --config with --resume auto")
    return ready_system(job, device), job.folder


def ready_system(job: Job, device: Device) -> LightningSystem:
    """A job's system as it begins or goes on, on the device, prompt and backgrounds embedded; its exporters tried.

    Raises:
        UserError: for every fault of the input that can be found before the training.
    """
    system = build_system(job.recipe)
    for choice in job.recipe.exporters:
        choice.build()
    if job.checkpoint is not None:
        load_weights(system, job.checkpoint)
    else:
        start_stage(system, job.recipe, device)
    system.to(device)
    system.prepare()
    return system


def load_weights(system: nn.Module, checkpoint: Path) -> None:
    """Take the parameters and buffers of a checkpoint.

    Raises:
        UserError: the file is broken, or made by another recipe.
    """
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)["state_dict"]
    except (OSError, EOFError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
        raise UserError(f"{checkpoint}: not a readable checkpoint ({type(error).__name__})") from error
    try:
        system.load_state_dict(state)
    except RuntimeError as error:
        first = " ".join(str(error).splitlines()[1:2]).strip()
        raise UserError(f"{checkpoint}: does not fit this recipe: {first}") from error


def _read(path: Path, options: argparse.Namespace) -> Recipe:
    """The recipe with its overrides and plugins; the prompt of the command line wins."""
    mapping = load_recipe(path, options.overrides)
    named = mapping.get("plugins")
    plugins = [str(plugin) for plugin in named] if isinstance(named, list) else []
    for plugin in plugins:
        load_plugin(Path(plugin))
    recipe = read_recipe(mapping)
    own = [str(plugin.resolve()) for plugin in options.plugin]
    start_from = options.start_from.resolve() if options.start_from else recipe.start_from
    prompt = recipe.prompt if options.prompt is None else options.prompt
    if not prompt and start_from is not None:
        prompt = read_prompt(start_from.parent.parent if start_from.is_file() else start_from)
    return replace(recipe, plugins=tuple(dict.fromkeys([*plugins, *own])), prompt=prompt, start_from=start_from)


def _own_prompt(folder: Path, given: str | None) -> str:
    prompt = read_prompt(folder)
    if given is not None and given != prompt:
        raise UserError(f"--prompt: {folder} was made for {prompt!r}; leave --prompt out, or start a new run")
    return prompt


def _checkpoint_of(path: Path) -> Path:
    """The checkpoint that a user names by itself or by its run, which holds the recipe that it was made by."""
    if path.is_file() and path.suffix == ".ckpt":
        checkpoint, folder = path.resolve(), path.resolve().parent.parent
    elif path.is_dir():
        checkpoint, folder = latest_checkpoint(path), path
    else:
        raise UserError(f"{path}: no such run. {_other_runs(path)}")
    if not (folder / "recipe.yaml").is_file():
        raise UserError(f"{path}: no run: {folder} holds no recipe.yaml. Give a run's folder, or a checkpoint in one")
    if checkpoint is None:
        raise UserError(f"{path}: this run has no checkpoint; train it again from the beginning")
    return checkpoint


def _other_runs(path: Path) -> str:
    siblings = [folder.name for folder in path.parent.glob("*") if folder.is_dir()]
    near = nearest_word(path.name, siblings)
    if near is not None:
        return f"Did you mean '{near}'?"
    return f"{path.parent}/ holds none of a similar name" if siblings else f"There are no runs in {path.parent}/"

"""What one command does: from options to a checked recipe, and from there to a training, a look, or files."""

import argparse
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from app.job import Job, build_system, find_job, load_weights, start_stage, trained_system
from app.run_folder import keep_recipe, locked, new_run_folder, run_name
from app.training import Device, Progress, StopOnSignal, make_trainer, settle_device, settle_precision
from core.errors import UserError
from core.part import Choice
from core.recipe import Recipe, dump_recipe
from systems.base import LightningSystem
from systems.callbacks import Checkpoints, MetricsLog, Previews
from systems.contact_sheet import contact_sheet, save_png

N_TEST_VIEWS = 8


def run(options: argparse.Namespace) -> int:
    """Carry out the parsed command line and give the exit code.

    Raises:
        UserError: for everything that the user can mend.
    """
    job = find_job(options)
    if options.show_recipe:
        print(f"# prompt: {job.recipe.prompt!r}\n{dump_recipe(job.recipe)}", end="")
        return 0
    device = settle_device(options.device)
    if options.dry_run:
        print(dry_run(job, device, options.out))
        return 0
    if options.validate is None and options.test is None and options.export is None:
        return train(job, device, options.out)
    system, folder = trained_system(job, device)
    with locked(folder):
        if options.export is not None:
            export(system, job.recipe, folder)
        else:
            _say_where(folder, [look(system, job, folder, device, test=options.test is not None)])
    return 0


def train(job: Job, device: Device, out: Path) -> int:
    """Train from the beginning or a checkpoint, then export; the exit code says whether a signal ended it."""
    recipe = job.recipe
    system = build_system(recipe)
    if job.checkpoint is not None:
        load_weights(system, job.checkpoint)
    else:
        start_stage(system, recipe, device)
    folder = job.folder or new_run_folder(out, recipe)
    with locked(folder):
        if job.checkpoint is not None:
            keep_recipe(folder, recipe)
        print(f"{'Going on in' if job.checkpoint else 'Writing to'} {folder}", file=sys.stderr)
        stop = StopOnSignal()
        config = recipe.trainer
        callbacks = [
            stop,
            Progress(),
            Checkpoints(folder, config.checkpoint_every),
            Previews(folder, config.preview_every, config.n_preview_views),
            MetricsLog(folder),
        ]
        trainer = make_trainer(config, device, folder, callbacks)
        try:
            with stop:
                trainer.fit(system, ckpt_path=job.checkpoint, weights_only=True)
        except SystemExit:  # what Lightning makes of a KeyboardInterrupt
            raise KeyboardInterrupt from None
        if stop.received is not None:
            print(
                f"Stopped at step {trainer.global_step} of {config.max_steps}; the checkpoint is saved. "
                f"Go on with: python launch.py --resume {folder}",
                file=sys.stderr,
            )
            return 128 + stop.received
        system.to(device)  # Lightning has taken it back to the CPU
        export(system, recipe, folder)
    return 0


def export(system: LightningSystem, recipe: Recipe, folder: Path) -> None:
    """Every exporter of the recipe in turn, and then where it all is; one that fails does not hold up the others.

    Raises:
        UserError: what the failed ones say, after all have had their turn.
    """
    files: list[Path] = []
    faults: list[str] = []
    for choice in recipe.exporters:
        start = time.monotonic()
        try:
            made = choice.build().export(system, folder)
        except UserError as error:
            faults.append(f"{choice.part.part_name}: {error}")
            continue
        seconds = time.monotonic() - start
        print(f"{choice.part.part_name}: {', '.join(path.name for path in made)} ({seconds:.1f} s)", file=sys.stderr)
        files += made
    _say_where(folder, files)
    if faults:
        raise UserError("\n".join(faults))


def look(system: LightningSystem, job: Job, folder: Path, device: Device, test: bool) -> Path:
    """A contact sheet of a trained system, and the numbers that Lightning's validation or test gives."""
    trainer = make_trainer(job.recipe.trainer, device, folder, [])
    numbers = trainer.test(system, verbose=False) if test else trainer.validate(system, verbose=False)
    for name, value in sorted(numbers[0].items()):
        print(f"{name}: {value:.4g}")
    system.to(device)
    n_views, magnify = (N_TEST_VIEWS, 2) if test else (job.recipe.trainer.n_preview_views, 1)
    sheet = contact_sheet(system, n_views, magnify)
    return save_png(folder / "previews" / f"{'test' if test else 'validation'}.png", sheet)


def dry_run(job: Job, device: Device, out: Path) -> str:
    """Build everything, go once forward and backward without changing a parameter, and say what was seen."""
    recipe = job.recipe
    precision = settle_precision(recipe.trainer.precision, device)
    system = build_system(recipe)
    for choice in recipe.exporters:
        choice.build()
    if job.checkpoint is not None:
        load_weights(system, job.checkpoint)
    else:
        start_stage(system, recipe, device)
    system.to(device)
    system.prepare()
    _one_pass(system)  # the first one loads libraries and fills caches
    seconds = _one_pass(system)
    n_trained = sum(parameter.numel() for parameter in system.parameters() if parameter.requires_grad)
    settings = vars(recipe.system.config)
    named = [f"{key} {choice.part.part_name}" for key, choice in settings.items() if isinstance(choice, Choice)]
    # From the first step on, Adam keeps two numbers for each parameter.
    memory = _peak_bytes(device) + 2 * 4 * n_trained
    lines = [
        f"prompt: {recipe.prompt!r}",
        f"system: {recipe.system.part.part_name} ({', '.join(named)})",
        f"trained parameters: {n_trained:,}",
        f"steps: {recipe.trainer.max_steps} on {device} in {precision}, about {seconds:.2g} s each",
        f"memory: about {memory / 2**30:.1f} GiB at the peak of a step",
        f"run folder: {job.folder or out / run_name(recipe)}{' (resumed)' if job.folder else ''}",
        f"then: {', '.join(choice.part.part_name for choice in recipe.exporters) or 'no exporters'}",
        "Everything fits. Nothing was trained or written.",
    ]
    return "\n".join(lines)


def _one_pass(system: LightningSystem) -> float:
    """One step without an optimiser, in seconds."""
    start = time.monotonic()
    rng = torch.Generator(system.device).manual_seed(0)
    n_views = system.views.n_views
    cameras = system.validation_cameras(n_views, system.guidance.latent_size)
    system.renderer.prepare(system.geometry, 0, rng)
    terms, _ = system.losses(cameras, 0, rng)
    loss = torch.stack(list(terms.values())).sum()
    loss.backward()
    float(loss.detach())  # waits for a GPU
    system.zero_grad(set_to_none=True)
    return time.monotonic() - start


def _peak_bytes(device: Device) -> int:
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes on macOS, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _say_where(folder: Path, files: Sequence[Path]) -> None:
    names = ", ".join(str(path.relative_to(folder)) for path in files)
    print(f"Everything is in {folder}/" + (f" ({names})" if names else ""))

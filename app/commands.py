"""What one command does: from options to a checked recipe, and from there to a training, a look, or files."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from app.dry_run import dry_run
from app.job import Job, find_job, ready_system, trained_system
from app.run_folder import keep_recipe, locked, new_run_folder
from app.training import Device, Progress, StopOnSignal, make_trainer, settle_device, settle_precision
from core.errors import UserError
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
    settle_precision(recipe.trainer.precision, device)  # as all faults of the input, before there is a folder
    system = ready_system(job, device)
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
            MetricsLog(folder),  # before what is saved: it watches the loss
            Checkpoints(folder, config.checkpoint_every),
            Previews(folder, config.preview_every, config.n_preview_views),
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


def _say_where(folder: Path, files: Sequence[Path]) -> None:
    names = ", ".join(str(path.relative_to(folder)) for path in files)
    print(f"Everything is in {folder}/" + (f" ({names})" if names else ""))

"""What a command does with its plan: print the recipe, try it, train it, look at a run, export it; or without one."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app import describe
from app.api import carry_out
from app.dry_run import dry_run
from app.jobs.index import write_index
from app.lock import locked
from app.parts import register_parts
from app.plan import Plan, Request
from app.process import Signals, StopOnSignals
from app.progress import Progress
from app.run import ExportError, open_run, refuse_held
from app.terminal import say
from app.training import make_trainer
from core.plugins import load_plugin
from core.recipe import dump_recipe, read_recipe
from core.stages import dump_stages
from systems.contact_sheet import contact_sheet, save_png

N_TEST_VIEWS = 8


def run(plan: Plan, options: argparse.Namespace, signals: Signals) -> int:
    """Carry out a plan, or say what it is; gives the exit code.

    Raises:
        UserError: for everything that the user can mend.
    """
    if options.show_recipe:
        text = dump_stages(plan.stages) if plan.stages else dump_recipe(plan.recipe)
        say(f"# prompt: {plan.recipe.shown_prompt!r}\n{text}".rstrip())
        return 0
    if options.dry_run:
        say(dry_run(plan))
        return 0
    if options.validate is not None or options.test is not None:
        return _look(plan, test=options.test is not None)
    return _train(plan, signals) if options.export is None else _export(plan)


def describe_parts(options: argparse.Namespace) -> int:
    """What `--list`, `--describe` and `--config RECIPE --help` print; gives the exit code."""
    register_parts()
    named = options.config
    recipe = read_recipe(named, options.overrides, options.plugin, trust=options.trust) if named else None
    for plugin in options.plugin:
        load_plugin(plugin)
    if options.help and recipe is not None:
        say(describe.recipe_help(recipe, named))
    elif options.list is not None:
        say(describe.list_parts(options.list or None))
    else:
        say(describe.described(options.describe))
    return 0


def run_jobs(options: argparse.Namespace, signals: Signals) -> int:
    """Do the rows of a jobs file, or say what they will take; gives the exit code."""
    from app.jobs import command  # what a single run does without

    request = command.JobsRequest(
        file=options.jobs,
        out=options.out,
        config=options.config,
        overrides=tuple(options.overrides),
        plugins=tuple(options.plugin),
        device=options.device,
        trust=options.trust,
        engine=options.engine,
        ray_address=options.ray_address,
        workers=options.workers,
        shard=options.shard,
        retry_failed=options.retry_failed,
        job_timeout=options.job_timeout,
    )
    if options.dry_run:
        say(command.dry_run_of_jobs(request))
        return 0
    return command.run_jobs(request, signals)


def index_jobs(folder: Path) -> int:
    """Make the table of a folder of jobs anew; gives the exit code."""
    say(str(write_index(folder)))
    return 0


def run_live(request: Request, options: argparse.Namespace, signals: Signals) -> int:
    """Serve the live page; gives the exit code."""
    from app.live.command import live  # viser is an extra

    port = int(options.live) if options.live.isdigit() else None
    return live(request, options.live_host, port, options.live_paused, signals)


def _train(plan: Plan, signals: Signals) -> int:
    """Train and export; the exit code says whether a signal ended it."""
    if plan.done is not None:
        say(f"{plan.done}: all steps are done, and exported; nothing is left to do")
        return 0
    progress = Progress()
    try:
        with _failures_said():
            made = carry_out(plan, on_event=progress, stop=StopOnSignals(signals))
    finally:
        progress.close()
        if signals.received is not None and (done := progress.trained) and done.step == done.total_steps:
            say(f"All steps are done. Go on with: python launch.py --resume {done.folder}", on_stderr=True)
    if signals.received is None:
        _say_where(made.folder, made.files)
    return signals.exit_code


def _export(plan: Plan) -> int:
    refuse_held(plan)
    made = open_run(plan)
    with _failures_said():
        _say_where(made.folder, made.export(on_event=Progress()))
    return 0


@contextmanager
def _failures_said() -> Iterator[None]:
    """Say where the files are also where an exporter has failed: the others have written theirs."""
    try:
        yield
    except ExportError as error:
        _say_where(error.run.folder, error.files)
        raise


def _look(plan: Plan, test: bool) -> int:
    """A contact sheet of a trained system, and the numbers that Lightning's validation or test gives."""
    refuse_held(plan)
    made = open_run(plan)
    with locked(made.folder):
        config, system = made.recipe.trainer, made.system
        trainer = make_trainer(config, plan.device, made.folder, [])
        numbers = trainer.test(system, verbose=False) if test else trainer.validate(system, verbose=False)
        for name, value in sorted(numbers[0].items()):
            say(f"{name}: {value:.4g}")
        system.to(plan.device)
        n_views, magnify = (N_TEST_VIEWS, 2) if test else (config.n_preview_views, 1)
        sheet = contact_sheet(system, n_views, magnify)
        _say_where(made.folder, [save_png(made.folder / "previews" / f"{'test' if test else 'validation'}.png", sheet)])
    return 0


def _say_where(folder: Path, files: Sequence[Path]) -> None:
    names = ", ".join(str(path.relative_to(folder)) for path in files)
    say(f"Everything is in {folder}/" + (f" ({names})" if names else ""))

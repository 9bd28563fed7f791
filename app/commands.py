"""What a command does once its words are understood: print a recipe, try it, train it, look at a run, export it."""

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from app.api import carry_out
from app.dry_run import dry_run
from app.folder_checks import locked
from app.jobs.command import run_jobs
from app.jobs.index import write_index
from app.plan import Plan, Request, make_plan
from app.progress import Progress
from app.run import ExportError, open_run, refuse_held
from app.stopping import Signals, StopOnSignals
from app.terminal import say
from app.training import make_trainer
from core.recipe import dump_recipe
from systems.contact_sheet import contact_sheet, save_png

N_TEST_VIEWS = 8


def run(options: argparse.Namespace, signals: Signals) -> int:
    """Carry out the parsed command line and give the exit code.

    Raises:
        UserError: for everything that the user can mend.
    """
    if options.jobs is not None:
        return run_jobs(options, signals)
    if options.jobs_index is not None:
        say(str(write_index(options.jobs_index)))
        return 0
    if options.live is not None:
        return _live(options, signals)
    plan = make_plan(_request(options))
    if options.show_recipe:
        say(f"# prompt: {plan.recipe.shown_prompt!r}\n{dump_recipe(plan.recipe)}".rstrip())
        return 0
    if options.dry_run:
        say(dry_run(plan))
        return 0
    if options.validate is not None or options.test is not None:
        return _look(plan, test=options.test is not None)
    return _train(plan, signals) if options.export is None else _export(plan)


def _live(options: argparse.Namespace, signals: Signals) -> int:
    from app.live.command import live  # viser is an extra

    port = int(options.live) if options.live.isdigit() else None
    return live(_request(options), options.live_host, port, options.live_paused, signals)


def _request(options: argparse.Namespace) -> Request:
    looked_at = next((run for run in (options.validate, options.test, options.export) if run is not None), None)
    if options.live and not options.live.isdigit():
        looked_at = options.live
    named = looked_at or options.resume
    return Request(
        recipe=options.config,
        prompt=options.prompt,
        overrides=tuple(options.overrides),
        plugins=tuple(options.plugin),
        start_from=options.start_from,
        run=Path(named) if named and named != "auto" else None,
        newest=options.resume == "auto",
        allow_changed=options.allow_changed,
        trained=looked_at is not None,
        out=options.out,
        device=options.device,
        trust=options.trust,
    )


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
            say(f"The training is done. Export with: python launch.py --export {done.folder}", on_stderr=True)
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

"""From the words of a command to its exit code: words, request, plan, and what carries it out.

It answers --help before torch is imported.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.options import parse, usage
from app.process import Signals, lasting_streams, set_up_messages
from app.stopping import Interrupted
from app.terminal import show_failure

if TYPE_CHECKING:
    from app.plan import Request


def main(arguments: Sequence[str]) -> int:
    """Run one command and give the process's exit code; each fault is one line on stderr."""
    with Signals() as signals, lasting_streams():
        set_up_messages()
        try:
            options = parse(arguments)
            if options.help and options.config is None:
                print(usage(), end="")
                return 0
            return _run(options, signals)
        except (Exception, Interrupted, KeyboardInterrupt) as error:
            if signals.has_interrupted or not isinstance(error, Exception):
                print("Stopped at once; what had been saved before is untouched.", file=sys.stderr)
                return signals.exit_code or 130
            return show_failure(error, debug="--debug" in arguments)


def _run(options: argparse.Namespace, signals: Signals) -> int:
    if options.device == "cpu":
        _hide_gpu()
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # advice that torch prints past Python's warnings
    from app import commands  # first: it hides from Lightning what does not fit
    from app.plan import make_plan

    if options.help or options.list is not None or options.describe is not None:
        return commands.describe_parts(options)
    if options.jobs is not None:
        return commands.run_jobs(options, signals)
    if options.jobs_index is not None:
        return commands.index_jobs(options.jobs_index)
    request = _request(options)
    if options.live is not None:
        return commands.run_live(request, options, signals)
    return commands.run(make_plan(request), options, signals)


def _request(options: argparse.Namespace) -> "Request":
    """What is asked for; relative paths start from the current folder."""
    from app.plan import Request

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


def _hide_gpu() -> None:
    """Keep torch from seeing a GPU, so that no part chooses it behind the user's back; it looks once, when imported."""
    if "torch" not in sys.modules:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""

"""What the benchmarks' command lines have in common: options, exit codes, a clean stop, threads, the report.

Exit codes: 0; 1 where a floor is not met by the whole benchmark, or a run failed; 2 for bad input; 130 when stopped.
"""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from app.lock import locked
from app.machine import resolve_device
from app.parts import register_parts
from benchmarks.floors import Floor
from benchmarks.machine import ROOT, describe_machine
from benchmarks.runs import RunFailedError
from core.errors import UserError
from core.files import write_json

RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True)
class Report:
    """What a benchmark found."""

    name: str
    """Of its JSON file, which lies in benchmarks/results."""
    whole: bool
    """Whether it was all that is to be measured; a part's figures never take the place of the whole's."""
    figures: dict[str, Any]
    text: str
    """The figures for people."""
    floors: Sequence[Floor] = ()
    draw: Callable[[Path], Path] | None = None
    """Draws a picture into a folder and says where."""


def benchmark_parser(
    module: str, description: str, recipe: str | None, *, work: str, quick: str
) -> argparse.ArgumentParser:
    """A parser with the options that every benchmark has.

    Args:
        module: its name in `python -m benchmarks.MODULE`.
        recipe: name of the recipe by default; None where --config makes no sense, empty where it must be given.
        work: folder under runs/benchmarks in which it keeps what it made.
        quick: what --quick leaves.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=description)
    if recipe is not None:
        default = ROOT / "configs" / f"{recipe}.yaml" if recipe else None
        parser.add_argument("--config", type=Path, default=default, required=not recipe, metavar="RECIPE")
    parser.add_argument("--quick", action="store_true", help=quick)
    parser.add_argument("--out", type=Path, metavar="DIR", help="where results go (default: benchmarks/results)")
    kept = ROOT / "runs" / "benchmarks" / work
    parser.add_argument("--work", type=Path, default=kept, metavar="DIR", help="where runs and figures are kept")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that win over the recipe's")
    return parser


def run_benchmark(measure: Callable[[argparse.Namespace], Report], options: argparse.Namespace) -> int:
    """Measure, report, and give the exit code; what goes wrong is told in one line.

    SIGTERM is handled as Ctrl-C, so that child processes end too.
    """
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        register_parts()
        options.work.mkdir(parents=True, exist_ok=True)
        with locked(options.work):
            return _publish(measure(options), options)
    except RunFailedError as error:
        print(f"FAILED {error}", file=sys.stderr)
        return 1
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept: the same command goes on from there.", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)


def resolve_threads(n_jobs: int = 1) -> int:
    """Threads of each of `n_jobs` trainings at once, used by this process too: OMP_NUM_THREADS, or an equal share.

    Raises:
        UserError: there are no jobs.
    """
    if n_jobs < 1:
        raise UserError(f"--jobs {n_jobs}: at least 1")
    n_threads = int(os.environ.get("OMP_NUM_THREADS", max(1, (os.cpu_count() or 1) // n_jobs)))
    torch.set_num_threads(n_threads)
    return n_threads


def _publish(report: Report, options: argparse.Namespace) -> int:
    """Write one JSON file, which says what was run and on what, and print the same."""
    folder = options.out or (RESULTS if report.whole else options.work)
    machine = describe_machine(resolve_device(options.device))
    content = {
        **({"config": os.path.relpath(options.config, ROOT)} if "config" in options else {}),
        "overrides": options.overrides,
        "machine": machine,
        "floors": [{**asdict(floor), "met": floor.met} for floor in report.floors],
        **report.figures,
    }
    path = folder / f"{report.name}.json"
    write_json(path, rounded(content))
    lines = [
        f"{machine['cpu']}, {machine['threads']} threads, {machine['gflops']} GFLOP/s, torch {machine['torch']}",
        report.text,
        *(f"{'met    ' if floor.met else 'NOT MET'}  {floor.name}: {floor.text}" for floor in report.floors),
        str(path),
        *([str(report.draw(folder))] if report.draw else []),
    ]
    print("\n" + "\n".join(lines))
    return int(report.whole and not all(floor.met for floor in report.floors))


def rounded(value: Any) -> Any:
    """Numbers with four digits: repeated measurements do not agree on more."""
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list | tuple) else value


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt

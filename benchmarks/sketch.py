"""Do objects follow their sketches? Tables against the exact query, costs, conformity, influence, completion.

    python -m benchmarks.sketch [--quick] [--only tables,conformity,influence,completion] [--jobs 2] [key=value ...]

What has been trained and measured is kept; the same command goes on where it was stopped. Results of the whole are
written to benchmarks/results/sketch.json, those of `--only tables`, for which nothing is trained, to sketch-tables.json
beside it, those of other parts or a quick look to the work folder.
"""

import argparse
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from app.api import untrained_system
from benchmarks.command import Report, benchmark_parser, resolve_threads, run_benchmark
from benchmarks.machine import ROOT
from benchmarks.runs import RunFailedError, Trainings, plan_run
from benchmarks.sketch_cases import SketchCase, cases
from benchmarks.sketch_figures import SketchFigures, figures_of
from benchmarks.sketch_report import measured_floors, table, trained_floors, write_plot
from benchmarks.sketch_tables import lenient_share, loss_cost, plain, table_agreement, time_tables
from benchmarks.speed import OCCUPANCY_STEP
from benchmarks.toy_prompts import ToyPrompt
from core.errors import UserError, did_you_mean
from systems.sketch_shape import SketchShape

DESCRIPTION = "Tables of sketches against the exact query, costs, and trained objects that follow sketches."
PARTS = ("tables", "conformity", "influence", "completion")
COST_STEPS = (0, OCCUPANCY_STEP + 1)  # while every cell counts as occupied, and after the grid's first look


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    return run_benchmark(_run, _parser().parse_intermixed_args(arguments))


def _parser() -> argparse.ArgumentParser:
    quick = "two short trainings, two sketches' tables"
    parser = benchmark_parser("sketch", DESCRIPTION, None, work="sketch", quick=quick)
    parser.add_argument("--only", default=",".join(PARTS), metavar="NAMES", help=f"some of {', '.join(PARTS)}")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once; they share the cores (default: 1)")
    return parser


def _run(options: argparse.Namespace) -> Report:
    wanted = [name.strip() for name in options.only.split(",")]
    for name in wanted:
        if name not in PARTS:
            raise UserError(f"--only {name}: not a part of this benchmark. {did_you_mean(name, PARTS)}")
    measured = _measured(options) if "tables" in wanted else {}
    trained = _trained([case for case in cases(options.quick) if case.question in wanted], options)
    objects = [{**asdict(case), "name": case.name, **asdict(figures)} for case, figures in trained]
    plotted = any(case.question == "conformity" for case, _ in trained)
    tables_alone = set(wanted) == {"tables"}
    return Report(
        "sketch-tables" if tables_alone else "sketch",
        whole=not options.quick and (tables_alone or set(wanted) == set(PARTS)),
        figures={**measured, **({} if tables_alone else {"jobs": options.jobs, "objects": objects})},
        text="\n".join([*_measured_lines(measured), *([] if tables_alone else ["", table(trained)])]),
        floors=[*(measured_floors(measured) if measured else []), *trained_floors(trained)],
        draw=(lambda folder: write_plot(folder / "sketch-conformity.png", trained)) if plotted else None,
    )


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    """Tables and costs, with the threads of a training that runs alone; nothing is trained for them."""
    resolve_threads()
    recipe = ROOT / "configs" / "sketch-shape-strict.yaml"
    system = untrained_system(recipe, "a yellow robot", overrides=options.overrides, device=options.device)
    assert isinstance(system, SketchShape)
    system.train()
    return {
        "tables": plain(table_agreement(options.quick)),
        "timing": time_tables(options.quick),
        "cost": [loss_cost(system, step) for step in COST_STEPS],
        "lenient": lenient_share(system),
    }


def _trained(wanted: Sequence[SketchCase], options: argparse.Namespace) -> list[tuple[SketchCase, SketchFigures]]:
    """Each case trained and measured, `--jobs` at a time; one that is measured already costs nothing.

    Raises:
        RunFailedError: some have no result; all others are trained and measured before that is said.
    """
    n_threads = resolve_threads(options.jobs)
    runs = {
        case: plan_run(
            ToyPrompt(case.subject),
            "prompt",
            case.recipe,
            [*case.overrides(options.work), *options.overrides],
            options.work,
        )
        for case in wanted
    }
    found: dict[SketchCase, SketchFigures] = {}
    measuring = threading.Lock()  # torch's global random state, and memory
    with ThreadPoolExecutor(options.jobs) as pool, Trainings(options.device, n_threads) as trainings:
        waiting = {
            pool.submit(figures_of, case, run, trainings, options.device, measuring): case for case, run in runs.items()
        }
        try:
            for future in tqdm(as_completed(waiting), total=len(waiting), unit="run", desc="sketches", disable=None):
                case = waiting[future]
                try:
                    found[case] = future.result()
                    tqdm.write(table([(case, found[case])]).splitlines()[-1])
                except (RunFailedError, UserError) as error:
                    tqdm.write(f"FAILED {error}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if len(found) < len(wanted):
        raise RunFailedError(f"{len(wanted) - len(found)} of {len(wanted)} runs: no result")
    return [(case, found[case]) for case in wanted]


def _measured_lines(measured: dict[str, Any]) -> list[str]:
    if not measured:
        return []
    timing = measured["timing"]
    return [
        *(
            f"{row['name']:44}{row['occupancy']:9.4%} alike, distance within {row['distance_cells']:.2f} cells"
            for row in measured["tables"]
        ),
        f"a sketch of {timing['faces']:.0f} faces read and tabulated in {timing['seconds']:.1f} s "
        f"({timing['cpu_seconds']:.1f} s of {timing['cores']:.0f} cores)",
        *(
            f"step {row['step']:.0f}: {row['samples_looked_at']:.0f} of {row['samples']:.0f} samples, "
            f"loss {row['loss_ms']:.1f} of {row['step_ms']:.0f} CPU-ms ({row['share']:.1%}); "
            f"libigl for the same points {row['libigl_ms']:.0f}"
            for row in measured["cost"]
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())

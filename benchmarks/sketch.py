"""Do objects follow their sketches? Tables against the exact query, costs, conformity, influence, completion.

    python -m benchmarks.sketch [--quick] [--only tables,conformity,influence,completion] [key=value ...]

What has been trained and measured is kept; the same command goes on where it was stopped. Results of the whole are
written to benchmarks/results/, those of a part or a quick look to the work folder.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tqdm import tqdm

from app.cli import parse
from app.job import build_system, find_job
from app.training import settle_device
from benchmarks.command import Report, benchmark_parser, run_benchmark, settle_threads
from benchmarks.machine import ROOT
from benchmarks.runs import Trainings, plan_run
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
    return Report(
        "sketch",
        whole=not options.quick and set(wanted) == set(PARTS),
        figures={**measured, "objects": objects},
        text="\n".join([*_measured_lines(measured), "", table(trained)]),
        floors=[*(measured_floors(measured) if measured else []), *trained_floors(trained)],
        draw=(lambda folder: write_plot(folder / "sketch-conformity.png", trained)) if plotted else None,
    )


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    """Tables and costs; nothing is trained for them."""
    words = ["--config", str(ROOT / "configs" / "sketch-shape-strict.yaml"), "--prompt", "a yellow robot"]
    device = settle_device(options.device)
    system = build_system(find_job(parse([*words, *options.overrides])).recipe).to(device)
    assert isinstance(system, SketchShape)
    system.prepare()
    system.train()
    return {
        "tables": plain(table_agreement(options.quick)),
        "timing": time_tables(options.quick),
        "cost": [loss_cost(system, step) for step in COST_STEPS],
        "lenient": lenient_share(system),
    }


def _trained(wanted: Sequence[SketchCase], options: argparse.Namespace) -> list[tuple[SketchCase, SketchFigures]]:
    """Each case trained and measured, one after the other; one that is measured already costs nothing."""
    found = []
    with Trainings(options.device, settle_threads()) as trainings:
        for case in tqdm(wanted, unit="run", desc="sketches", disable=None):
            settings = [*case.overrides(options.work), *options.overrides]
            run = plan_run(ToyPrompt(case.subject), "prompt", case.recipe, settings, options.work)
            found.append((case, figures_of(case, run, trainings, options.device)))
            tqdm.write(table(found[-1:]).splitlines()[-1])
    return found


def _measured_lines(measured: dict[str, Any]) -> list[str]:
    if not measured:
        return []
    timing = measured["timing"]
    return [
        *(
            f"{row['name']:44}{row['occupancy']:9.4%} alike, distance within {row['distance_cells']:.2f} cells"
            for row in measured["tables"]
        ),
        f"{timing['faces']:.0f} faces tabulated in {timing['seconds']:.1f} s "
        f"({timing['cpu_seconds']:.1f} s of all cores)",
        *(
            f"step {row['step']:.0f}: {row['samples']:.0f} samples, loss {row['loss_ms']:.1f} of {row['step_ms']:.0f} "
            f"CPU-ms ({row['share']:.1%}); libigl for the same points {row['libigl_ms']:.0f}"
            for row in measured["cost"]
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())

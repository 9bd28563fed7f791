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
from app.parts import load_house
from app.run_folder import locked
from app.training import settle_device
from benchmarks.command import (
    benchmark_parser,
    exit_code,
    floor_lines,
    results_folder,
    settle_threads,
    verdict,
    write_report,
)
from benchmarks.floors import Floor
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
    return exit_code(_run, _parser().parse_intermixed_args(arguments))


def _parser() -> argparse.ArgumentParser:
    quick = "two short trainings, two sketches' tables"
    parser = benchmark_parser("sketch", DESCRIPTION, None, work="sketch", quick=quick)
    parser.add_argument("--only", default=",".join(PARTS), metavar="NAMES", help=f"some of {', '.join(PARTS)}")
    return parser


def _run(options: argparse.Namespace) -> int:
    wanted = [name.strip() for name in options.only.split(",")]
    for name in wanted:
        if name not in PARTS:
            raise UserError(f"--only {name}: not a part of this benchmark. {did_you_mean(name, PARTS)}")
    load_house()
    options.work.mkdir(parents=True, exist_ok=True)
    with locked(options.work):
        measured = _measured(options) if "tables" in wanted else {}
        trained = _trained([case for case in cases(options.quick) if case.question in wanted], options)
    floors = [*(measured_floors(measured) if measured else []), *trained_floors(trained)]
    whole = not options.quick and set(wanted) == set(PARTS)
    return _report(measured, trained, floors, whole, options)


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
    trainings = Trainings(options.device, settle_threads())
    found = []
    try:
        for case in tqdm(wanted, unit="run", desc="sketches", disable=None):
            settings = [*case.overrides(options.work), *options.overrides]
            run = plan_run(ToyPrompt(case.subject), "prompt", case.recipe, settings, options.work)
            found.append((case, figures_of(case, run, trainings, options.device)))
            tqdm.write(table(found[-1:]).splitlines()[-1])
    except BaseException:
        trainings.stop()
        raise
    return found


def _report(
    measured: dict[str, Any],
    trained: list[tuple[SketchCase, SketchFigures]],
    floors: list[Floor],
    whole: bool,
    options: argparse.Namespace,
) -> int:
    path = results_folder(options, whole) / "sketch.json"
    objects = [{**asdict(case), "name": case.name, **asdict(figures)} for case, figures in trained]
    write_report(path, options, floors, {**measured, "objects": objects})
    for row in measured.get("tables", []):
        print(f"{row['name']:44}{row['occupancy']:9.4%} alike, distance within {row['distance_cells']:.2f} cells")
    if measured:
        timing = measured["timing"]
        print(
            f"{timing['faces']:.0f} faces tabulated in {timing['seconds']:.1f} s "
            f"({timing['cpu_seconds']:.1f} s of all cores)"
        )
    for row in measured.get("cost", []):
        print(
            f"step {row['step']:.0f}: {row['samples']:.0f} samples, loss {row['loss_ms']:.1f} of {row['step_ms']:.0f} "
            f"CPU-ms ({row['share']:.1%}); libigl for the same points {row['libigl_ms']:.0f}"
        )
    print(f"\n{table(trained)}\n\n{floor_lines(floors)}\n\n{path}")
    if any(case.question == "conformity" for case, _ in trained):
        print(write_plot(path.with_name("sketch-conformity.png"), trained))
    return verdict(floors, whole)


if __name__ == "__main__":
    sys.exit(main())

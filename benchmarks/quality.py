"""How good are the objects? Twelve prompts, each a run of its own, judged and compared with the canonical meshes.

    python -m benchmarks.quality --config configs/latent-nerf.yaml [--quick] [--only chair,mug] [--jobs 2] [key=value]

Beside each object stand the best-fitting ellipsoid and the same recipe guided by pictures of the canonical object. What
has been trained and measured is kept; the same command goes on where it was stopped. Results of all twelve are written
to benchmarks/results/, those of a part to the work folder.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NoReturn

import torch
from tqdm import tqdm

from app.parts import load_house
from app.run_folder import locked
from benchmarks.canonical import canonical_solid
from benchmarks.figures import Figures, measure, read_figures
from benchmarks.floors import Row, floors
from benchmarks.machine import ROOT, describe_machine
from benchmarks.results import floor_lines, summary_line, table, write_results, write_sheet
from benchmarks.runs import GUIDES, BenchmarkRun, RunFailedError, Trainings, load_trained, plan_run
from benchmarks.shape_agreement import best_ellipsoid
from benchmarks.toy_prompts import ToyPrompt, toy_prompts
from core.errors import UserError
from toybox.judge import load_judge

DESCRIPTION = "Train twelve toybox prompts, have them judged, and compare their shapes with the canonical meshes."
WORK = ROOT / "runs" / "benchmarks" / "quality"
RESULTS = ROOT / "benchmarks" / "results"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code: 0; 1 where a floor is not met by all twelve or a run failed; 2."""
    options = _parser().parse_intermixed_args(arguments)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(options)
    except (UserError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept: the same command goes on from there.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality", description=DESCRIPTION)
    parser.add_argument("--config", type=Path, required=True, metavar="RECIPE")
    parser.add_argument("--quick", action="store_true", help="two prompts instead of twelve")
    parser.add_argument("--only", default="", metavar="NAMES", help="some objects, such as chair,mug")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once; they share the cores (default: 1)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where JSON and sheet go (default: benchmarks/results)")
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help="where runs and figures are kept")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--measure-again", action="store_true", help="keep what is trained, measure it anew")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that win over the recipe's")
    return parser


def _run(options: argparse.Namespace) -> int:
    prompts = toy_prompts(options.only, options.quick)
    try:
        load_judge()
    except FileNotFoundError as error:
        raise UserError("the toybox judge has no weights: python -m toybox.judge.train makes them") from error
    load_house()
    options.work.mkdir(parents=True, exist_ok=True)
    with locked(options.work):
        planned = [
            plan_run(prompt, guide, options.config, options.overrides, options.work)
            for guide in GUIDES
            for prompt in tqdm(prompts, desc=f"preparing runs from {guide}", leave=False, disable=None)
        ]
        done = _all_figures(planned, options)
        if len(done) < len(planned):
            print(f"{len(planned) - len(done)} of {len(planned)} runs failed: no result", file=sys.stderr)
            return 1
        ours, ceilings = planned[: len(prompts)], planned[len(prompts) :]
        rows = [_row(*pair, done) for pair in zip(ours, ceilings, strict=True)]
    return _report(rows, list(zip(ours, ceilings, strict=True)), prompts, options)


def _all_figures(planned: Sequence[BenchmarkRun], options: argparse.Namespace) -> dict[Path, Figures]:
    """Train and measure what is missing; figures by the runs' folders."""
    n_threads = int(os.environ.get("OMP_NUM_THREADS", max(1, (os.cpu_count() or 1) // options.jobs)))
    torch.set_num_threads(n_threads)
    trainings = Trainings(options.device, n_threads)
    measuring = threading.Lock()  # torch's global random state, and memory

    def figures_of(run: BenchmarkRun) -> Figures:
        known = None if options.measure_again else read_figures(run.folder)
        if known is not None:
            return known
        seconds = trainings.train(run)
        with measuring:
            return measure(load_trained(run, options.device), run.prompt, seconds, run.folder)

    done: dict[Path, Figures] = {}
    with ThreadPoolExecutor(options.jobs) as pool:
        waiting: dict[Future[Figures], BenchmarkRun] = {pool.submit(figures_of, run): run for run in planned}
        try:
            for future in tqdm(as_completed(waiting), total=len(waiting), unit="run", desc="quality", disable=None):
                run = waiting[future]
                try:
                    done[run.folder] = future.result()
                    tqdm.write(f"{run.name}: {summary_line(run.prompt, done[run.folder])}")
                except (RunFailedError, UserError) as error:
                    tqdm.write(f"FAILED {error}")
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            trainings.stop()
            raise
    return done


def _row(ours: BenchmarkRun, ceiling: BenchmarkRun, done: dict[Path, Figures]) -> Row:
    ellipsoid = best_ellipsoid(canonical_solid(ours.prompt.subject.kind))
    return Row(ours.prompt, done[ours.folder], done[ceiling.folder], ellipsoid)


def _report(
    rows: list[Row],
    runs: list[tuple[BenchmarkRun, BenchmarkRun]],
    prompts: tuple[ToyPrompt, ...],
    options: argparse.Namespace,
) -> int:
    found = floors(rows)
    whole = prompts == toy_prompts()
    out = options.out or (RESULTS if whole else options.work)
    heading: dict[str, Any] = {
        "config": str(options.config),
        "overrides": options.overrides,
        "machine": describe_machine("cuda" if options.device != "cpu" and torch.cuda.is_available() else "cpu"),
        "jobs": options.jobs,
    }
    path = out / f"quality-{options.config.stem}.json"
    write_results(path, heading, rows, found)
    sheet = path.with_suffix(".png")
    write_sheet(sheet, rows, [(ours.folder / "views.png", ceiling.folder / "views.png") for ours, ceiling in runs])
    print(f"\n{table(rows)}\n\n{floor_lines(found)}\n\n{path}\n{sheet}")
    return int(whole and not all(floor.met for floor in found))


def _interrupt(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())

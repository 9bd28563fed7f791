"""How good are the objects? Twelve prompts, each a run of its own, judged and compared with the canonical meshes.

    python -m benchmarks.quality --config configs/latent-nerf.yaml [--quick] [--only chair,mug] [--seeds 1,2,3]
        [--jobs 2] [key=value]

Beside each object stand the best-fitting ellipsoid and the same recipe guided by pictures of the canonical object, once
for all seeds. What has been trained and measured is kept; the same command goes on where it was stopped. Results of all
twelve are written to benchmarks/results/, those of a part to the work folder.
"""

import argparse
import itertools
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm import tqdm

from benchmarks.canonical import canonical_solid
from benchmarks.command import Report, benchmark_parser, resolve_threads, run_benchmark
from benchmarks.figures import Figures, measure, read_figures
from benchmarks.floors import Row, floors
from benchmarks.results import row_figures, summary_line, table, write_sheet
from benchmarks.runs import BenchmarkRun, RunFailedError, Trainings, load_trained, plan_run
from benchmarks.shape_agreement import best_ellipsoid
from benchmarks.toy_prompts import ToyPrompt, toy_prompts
from core.errors import UserError
from toybox.judge import load_judge

DESCRIPTION = "Train twelve toybox prompts, have them judged, and compare their shapes with the canonical meshes."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    return run_benchmark(_run, _parser().parse_intermixed_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = benchmark_parser("quality", DESCRIPTION, "", work="quality", quick="two prompts instead of twelve")
    parser.add_argument("--only", default="", metavar="NAMES", help="some objects, such as chair,mug")
    parser.add_argument("--seeds", type=_numbers, default=[], metavar="N,N", help="the recipe's own seed by default")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once; they share the cores (default: 1)")
    parser.add_argument("--measure-again", action="store_true", help="keep what is trained, measure it anew")
    return parser


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


def _run(options: argparse.Namespace) -> Report:
    prompts = toy_prompts(options.only, options.quick)
    try:
        load_judge()
    except FileNotFoundError as error:
        raise UserError("the toybox judge has no weights: python -m toybox.judge.train makes them") from error
    ours, ceilings = planned(prompts, options)
    done = _all_figures([*ours, *ceilings], options)
    if missing := len(ours) + len(ceilings) - len(done):
        raise RunFailedError(f"{missing} of {len(ours) + len(ceilings)} runs: no result")
    pairs = list(zip(ours, itertools.cycle(ceilings), strict=False))
    rows = [_row(*pair, done) for pair in pairs]
    name = f"quality-{options.config.stem}"

    def draw(folder: Path) -> Path:
        views = [(ours.folder / "views.png", ceiling.folder / "views.png") for ours, ceiling in pairs]
        return write_sheet(folder / f"{name}.png", rows, views)

    figures = {"jobs": options.jobs, "seeds": options.seeds, **row_figures(rows)}
    return Report(name, prompts == toy_prompts(), figures, table(rows), floors(rows), draw)


def planned(prompts: Sequence[ToyPrompt], options: argparse.Namespace) -> tuple[list[BenchmarkRun], list[BenchmarkRun]]:
    """The runs from the prompts, seed by seed, and those guided by pictures, once for all seeds."""
    seeds = [[f"seed={seed}"] for seed in options.seeds] or [[]]
    tried = tqdm([*itertools.product(seeds, prompts)], desc="preparing runs", leave=False, disable=None)
    ours = [
        plan_run(prompt, "prompt", options.config, [*options.overrides, *seed], options.work) for seed, prompt in tried
    ]
    return ours, [plan_run(prompt, "pictures", options.config, options.overrides, options.work) for prompt in prompts]


def _all_figures(planned: Sequence[BenchmarkRun], options: argparse.Namespace) -> dict[Path, Figures]:
    """Train and measure what is missing; figures by the runs' folders."""
    n_threads = resolve_threads(options.jobs)
    measuring = threading.Lock()  # torch's global random state, and memory

    def figures_of(run: BenchmarkRun, trainings: Trainings) -> Figures:
        known = None if options.measure_again else read_figures(run.folder)
        if known is not None:
            return known
        seconds = trainings.train(run)
        with measuring:
            return measure(load_trained(run, options.device), run.prompt, seconds, run.folder)

    done: dict[Path, Figures] = {}
    with ThreadPoolExecutor(options.jobs) as pool, Trainings(options.device, n_threads) as trainings:
        waiting: dict[Future[Figures], BenchmarkRun] = {pool.submit(figures_of, run, trainings): run for run in planned}
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
            raise
    return done


def _row(ours: BenchmarkRun, ceiling: BenchmarkRun, done: dict[Path, Figures]) -> Row:
    ellipsoid = best_ellipsoid(canonical_solid(ours.prompt.subject.kind))
    return Row(ours.prompt, done[ours.folder], done[ceiling.folder], ellipsoid)


if __name__ == "__main__":
    sys.exit(main())

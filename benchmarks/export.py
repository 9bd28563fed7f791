"""Do exported meshes look like what was trained? Eight objects, each read back by an independent renderer.

    python -m benchmarks.export --config configs/latent-nerf.yaml [--guide pictures] [--quick] [--only mug] [key=value]

Runs that `benchmarks.quality` has trained are used again; what is missing is trained. What was measured is kept; the
same command goes on where it was stopped. `--guide pictures` takes the runs that were shown the canonical object: with
them the export is on trial, and not the prompt.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.command import Report, benchmark_parser, resolve_threads, run_benchmark
from benchmarks.export_figures import ExportFigures, export_floors, measure_export, read_export
from benchmarks.runs import GUIDES, BenchmarkRun, Trainings, load_trained, plan_run
from benchmarks.toy_prompts import toy_prompts
from systems.contact_sheet import save_png

DESCRIPTION = "Export eight toybox objects, read the meshes back, and compare them with the runs' own decoded views."
N_OBJECTS = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    return run_benchmark(_run, _parser().parse_intermixed_args(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = benchmark_parser("export", DESCRIPTION, "", work="quality", quick="one object instead of eight")
    parser.add_argument("--guide", choices=GUIDES, default="prompt", help="what the runs were guided by")
    parser.add_argument("--only", default="", metavar="NAMES", help="some objects, such as chair,mug")
    parser.add_argument("--measure-again", action="store_true", help="keep what is trained, export and measure it anew")
    return parser


def _run(options: argparse.Namespace) -> Report:
    chosen = toy_prompts(options.only)[: 1 if options.quick else N_OBJECTS]
    planned = [plan_run(each, options.guide, options.config, options.overrides, options.work) for each in chosen]
    with Trainings(options.device, resolve_threads()) as trainings:
        done = [(run, _figures(run, trainings, options)) for run in planned]
    objects = [{"prompt": run.prompt.text, **asdict(figures), "agrees": figures.agrees} for run, figures in done]
    name = f"export-{options.config.stem}-{options.guide}"

    def draw(folder: Path) -> Path:
        sheet = np.concatenate([np.asarray(Image.open(run.folder / "exported.png")) for run, _ in done])
        save_png(folder / f"{name}.png", sheet)
        return folder / f"{name}.png"

    return Report(
        name,
        whole=len(done) == N_OBJECTS and not options.only,
        figures={"guide": options.guide, "objects": objects},
        text="\n".join(f"{run.name}: {_line(figures)}" for run, figures in done),
        floors=export_floors([figures for _, figures in done]),
        draw=draw,
    )


def _figures(run: BenchmarkRun, trainings: Trainings, options: argparse.Namespace) -> ExportFigures:
    figures = None if options.measure_again else read_export(run.folder)
    if figures is None:
        trainings.train(run)
        figures = measure_export(load_trained(run, options.device), run.folder)
        print(f"{run.name}: {_line(figures)}", flush=True)
    return figures


def _line(figures: ExportFigures) -> str:
    verdict = f"'{figures.says}'" if figures.agrees else f"'{figures.says}', its views '{figures.said}'"
    closed = "closed" if figures.watertight else "open"
    return (
        f"{figures.psnr_db:.1f} dB, silhouettes {figures.silhouette_iou:.3f}, judged {verdict}, "
        f"{figures.faces:,} faces, {closed}, seams {figures.seam_ratio:.2f}, {figures.seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(main())

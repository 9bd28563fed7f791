"""Do exported meshes look like what was trained? Eight objects, each read back by an independent renderer.

    python -m benchmarks.export --config configs/latent-nerf.yaml [--guide pictures] [--quick] [--only mug] [key=value]

Runs that `benchmarks.quality` has trained are used again; what is missing is trained. What was measured is kept; the
same command goes on where it was stopped. `--guide pictures` takes the runs that were shown the canonical object: with
them the export is on trial, and not the prompt.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from app.parts import load_house
from app.run_folder import locked
from benchmarks.export_figures import ExportFigures, export_floors, measure_export, read_export
from benchmarks.machine import ROOT, describe_machine
from benchmarks.results import floor_lines, rounded
from benchmarks.runs import GUIDES, BenchmarkRun, RunFailedError, Trainings, load_trained, plan_run
from benchmarks.toy_prompts import toy_prompts
from core.errors import UserError
from core.files import whole_file
from systems.contact_sheet import save_png

DESCRIPTION = "Export eight toybox objects, read the meshes back, and compare them with the runs' own decoded views."
WORK = ROOT / "runs" / "benchmarks" / "quality"
RESULTS = ROOT / "benchmarks" / "results"
N_OBJECTS = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code: 0; 1 where a floor is not met by all eight; 2 for bad input."""
    options = _parser().parse_intermixed_args(arguments)
    try:
        return _run(options)
    except (UserError, ValueError, RunFailedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept: the same command goes on from there.", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export", description=DESCRIPTION)
    parser.add_argument("--config", type=Path, required=True, metavar="RECIPE")
    parser.add_argument("--guide", choices=GUIDES, default="prompt", help="what the runs were guided by")
    parser.add_argument("--quick", action="store_true", help="one object instead of eight")
    parser.add_argument("--only", default="", metavar="NAMES", help="some objects, such as chair,mug")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where JSON and sheet go (default: benchmarks/results)")
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help="where runs and figures are kept")
    parser.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto")
    parser.add_argument("--measure-again", action="store_true", help="keep what is trained, export and measure it anew")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="settings that win over the recipe's")
    return parser


def _run(options: argparse.Namespace) -> int:
    load_house()
    chosen = toy_prompts(options.only)[: 1 if options.quick else N_OBJECTS]
    options.work.mkdir(parents=True, exist_ok=True)
    n_threads = int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1))
    torch.set_num_threads(n_threads)
    with locked(options.work):
        trainings = Trainings(options.device, n_threads)
        planned = [plan_run(each, options.guide, options.config, options.overrides, options.work) for each in chosen]
        done = [(run, _figures(run, trainings, options)) for run in planned]
    return _report(done, options)


def _figures(run: BenchmarkRun, trainings: Trainings, options: argparse.Namespace) -> ExportFigures:
    figures = None if options.measure_again else read_export(run.folder)
    if figures is None:
        try:
            trainings.train(run)
        except BaseException:
            trainings.stop()
            raise
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


def _report(done: list[tuple[BenchmarkRun, ExportFigures]], options: argparse.Namespace) -> int:
    found = export_floors([figures for _, figures in done])
    whole = len(done) == N_OBJECTS and not options.only
    out = options.out or (RESULTS if whole else options.work)
    content = {
        "config": str(options.config),
        "guide": options.guide,
        "overrides": options.overrides,
        "machine": describe_machine("cuda" if options.device != "cpu" and torch.cuda.is_available() else "cpu"),
        "floors": [{**asdict(floor), "met": floor.met} for floor in found],
        "objects": [{"prompt": run.prompt.text, **asdict(figures), "agrees": figures.agrees} for run, figures in done],
    }
    path = out / f"export-{options.config.stem}-{options.guide}.json"
    with whole_file(path) as unfinished:
        unfinished.write_text(json.dumps(rounded(content), indent=1) + "\n")
    sheet = np.concatenate([np.asarray(Image.open(run.folder / "exported.png")) for run, _ in done])
    save_png(path.with_suffix(".png"), sheet)
    print(f"\n{floor_lines(found)}\n\n{path}\n{path.with_suffix('.png')}")
    return int(whole and not all(floor.met for floor in found))


if __name__ == "__main__":
    sys.exit(main())

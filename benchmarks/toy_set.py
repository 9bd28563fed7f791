"""The data set of the method's description, in the toy world: 60 rows of texts, of (text, shape) and of
(text, shape, texture), made by one command and judged.

    python -m benchmarks.toy_set [--quick] [--workers 2] [key=value]

Twenty subjects each: Latent-NeRF from the text alone; Sketch-Shape around the toy world's own mesh; Latent-Paint on
that mesh, whose painting begins with a picture of one colour. The same command goes on.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from app.api import Run
from app.jobs.command import SOME_FAILED, JobsRequest, run_jobs
from app.jobs.folder import read_record
from app.process import Signals
from benchmarks.command import Report, benchmark_parser, run_benchmark
from benchmarks.machine import ROOT
from benchmarks.runs import RunFailedError
from benchmarks.sketch_cases import canonical_mesh
from benchmarks.toy_prompts import ToyPrompt
from benchmarks.verdicts import judge_object, judged_pictures
from core.files import whole_file, write_whole
from toybox.captions import Subject, subjects
from toybox.world import load_world

RECIPES = {"text": "latent-nerf", "text+shape": "sketch-shape", "text+shape+texture": "latent-paint"}
N_EACH = 20
#: Steps of a quick look.
QUICK_STEPS = 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    return run_benchmark(_run, _parser().parse_intermixed_args(arguments))


def _parser() -> argparse.ArgumentParser:
    quick = f"one row of each sort, {QUICK_STEPS} steps"
    parser = benchmark_parser(
        "toy_set", "Make and judge 60 toy objects by one command.", None, work="toy-set", quick=quick
    )
    parser.add_argument("--workers", metavar="N", type=int, help="as of launch.py --jobs")
    return parser


def _run(options: argparse.Namespace) -> Report:
    chosen = toy_subjects(1 if options.quick else N_EACH)
    jobs = write_rows(options.work / "rows.jsonl", chosen)
    steps = [f"trainer.max_steps={QUICK_STEPS}"] if options.quick else []
    overrides = (*steps, *options.overrides)
    out = options.work / "out"
    request = JobsRequest(jobs, out, overrides=overrides, device=options.device, workers=options.workers)
    with Signals() as signals:
        if run_jobs(request, signals) not in (0, SOME_FAILED):
            raise RunFailedError("the jobs were not done; the same command goes on")
    rows = {sort: [judged(out, sort, each, options.device) for each in chosen] for sort in RECIPES}
    figures = {sort: _figures([row for row in found if row is not None], len(found)) for sort, found in rows.items()}
    lines = ["rows                 done  object  colour  both  seconds"]
    lines += [f"{sort:20} {' '.join(f'{value!s:>6}' for value in found.values())}" for sort, found in figures.items()]
    return Report("toy-set", not options.quick, {"rows": figures}, "\n".join(lines))


def toy_subjects(count: int) -> list[Subject]:
    """As many kinds of one named colour each, of those that the model has met; colours take turns."""
    kinds, colours = list(load_world().kinds), list(load_world().colours)
    known = set(subjects(True))
    pairs = [Subject(kind, colours[(i + shift) % len(colours)]) for shift in (0, 3) for i, kind in enumerate(kinds)]
    firsts = {subject.kind: subject for subject in reversed(pairs) if subject in known}
    return [firsts[kind] for kind in kinds if kind in firsts][:count]


def write_rows(path: Path, chosen: Sequence[Subject]) -> Path:
    """The jobs file, and the meshes and pictures that its rows name."""
    rows: list[dict[str, Any]] = []
    for sort, recipe in RECIPES.items():
        for subject in chosen:
            name = f"{subject.kind}-{sort.replace('+', '-')}"
            row = {"id": name, "prompt": subject.caption(), "config": str(ROOT / "configs" / f"{recipe}.yaml")}
            if sort != "text":
                row["shape"] = str(_mesh(path.parent / "meshes" / f"{subject.kind}.obj", subject.kind))
            if sort == "text+shape":  # it stands where the toy world has it
                row |= {"system.losses.sketch.center": "none", "system.losses.sketch.scale": "none"}
            if sort.endswith("texture"):
                row["texture"] = str(_picture(path.parent / "pictures" / f"{subject.main}.png", subject.main))
            rows.append(row)
    write_whole(path, "".join(json.dumps(row) + "\n" for row in rows))
    return path


def judged(out: Path, sort: str, subject: Subject, device: str) -> dict[str, Any] | None:
    """The judge's verdict on one finished object; None where its row has failed."""
    folder = out / f"{subject.kind}-{sort.replace('+', '-')}"
    record = read_record(folder)
    if record is None or record.status != "done":
        return None
    votes = judge_object(ToyPrompt(subject), judged_pictures(Run.load(folder, device=device).system))
    half = votes.n_views / 2
    return {
        "object": votes.kind > half,
        "colour": votes.colour > half,
        "both": votes.named,
        "seconds": record.seconds["whole"],
    }


def _figures(rows: Sequence[dict[str, Any]], n_rows: int) -> dict[str, Any]:
    counts = {name: sum(row[name] for row in rows) for name in ("object", "colour", "both")}
    seconds = round(statistics.median(row["seconds"] for row in rows), 1) if rows else None
    return {"done": f"{len(rows)}/{n_rows}", **counts, "seconds": seconds}


def _mesh(path: Path, kind: str) -> Path:
    """The toy world's own object, with texture coordinates for those rows that begin with a picture."""
    if not path.is_file():
        mesh: Any = canonical_mesh(kind).unwrap()
        corners = [" ".join(f"{i}/{i}" for i in face) for face in mesh.faces + 1]
        lines = [f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in mesh.vertices]
        lines += [f"vt {u:.6f} {v:.6f}" for u, v in mesh.visual.uv]
        write_whole(path, "\n".join([*lines, *(f"f {face}" for face in corners)]) + "\n")
    return path


def _picture(path: Path, colour: str) -> Path:
    """One flat colour."""
    rgb = np.array(load_world().colours[colour])
    pixels = np.full((16, 16, 3), np.rint(255 * rgb), np.uint8)
    with whole_file(path) as unfinished:
        Image.fromarray(pixels).save(unfinished, format="PNG")
    return path


if __name__ == "__main__":
    sys.exit(main())

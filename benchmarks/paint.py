"""How good is a painting? Six neutral grey toybox meshes in two colours each, judged and compared with the truth.

    python -m benchmarks.paint [--config configs/latent-paint.yaml] [--quick] [--only car] [key=value ...]

Beside each painting stands what it began with, and its texture decoded as one picture. What has been painted and
measured is kept; the same command goes on where it was stopped. Results of all twelve go to benchmarks/results/, those
of a part to the work folder.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from benchmarks.command import Report, benchmark_parser, resolve_threads, run_benchmark
from benchmarks.paint_report import description, floors
from benchmarks.paint_seams import RULE
from benchmarks.painting import Painting, measure, read_painting
from benchmarks.runs import Trainings, plan_run
from benchmarks.toy_prompts import ToyPrompt
from core.errors import UserError, did_you_mean
from core.files import whole_file, write_json
from toybox.captions import Subject
from toybox.scenes import build

DESCRIPTION = "Paint six neutral toybox meshes in two colours each, and measure colours, parts, seams and time."
SUBJECTS = tuple(
    Subject(kind, colour)
    for kind, colours in {
        "car": ("red", "green"),
        "house": ("blue", "yellow"),
        "duck": ("orange", "purple"),
        "chair": ("red", "blue"),
        "mug": ("green", "pink"),
        "robot": ("yellow", "purple"),
    }.items()
    for colour in colours
)


def neutral_mesh(kind: str, work: Path) -> Path:
    """The canonical mesh of a kind as a file of plain geometry."""
    path = work / "meshes" / f"{kind}.ply"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            build(kind).mesh.export(unfinished, file_type="ply")
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    quick = "two paintings instead of twelve"
    parser = benchmark_parser("paint", DESCRIPTION, "latent-paint", work="paint", quick=quick)
    parser.add_argument("--only", default="", metavar="KIND", help="the two paintings of one kind")
    return run_benchmark(_run, parser.parse_intermixed_args(arguments))


def _run(options: argparse.Namespace) -> Report:
    kinds = sorted({subject.kind for subject in SUBJECTS})
    if options.only not in ("", *kinds):
        raise UserError(f"--only {options.only}: no such kind here. {did_you_mean(options.only, kinds)}")
    chosen = [s for s in SUBJECTS if options.only in ("", s.kind)][: 2 if options.quick else None]
    with Trainings(options.device, resolve_threads()) as trainings:
        paintings = [_painted(subject, trainings, options) for subject in tqdm(chosen, unit="painting", disable=None)]
    return Report(
        f"paint-{options.config.stem}",
        whole=len(chosen) == len(SUBJECTS),
        figures={
            "seams": RULE,
            "paintings": [{**asdict(painting), "seamless": painting.seamless} for painting in paintings],
        },
        text="\n".join(map(description, paintings)),
        floors=floors(paintings),
    )


def _painted(subject: Subject, trainings: Trainings, options: argparse.Namespace) -> Painting:
    """One painting: as measured before, else painted and measured now."""
    mesh = neutral_mesh(subject.kind, options.work).resolve()
    settings = [*options.overrides, f"system.geometry.path={mesh}", "trainer.preview_every=0"]
    run = plan_run(ToyPrompt(subject), "prompt", options.config, settings, options.work)
    note = run.folder / "measured.json"
    known = read_painting(note)
    if known is not None:
        return known
    painting = measure(run, trainings.train(run), options.device)
    write_json(note, asdict(painting))
    tqdm.write(description(painting))
    return painting


if __name__ == "__main__":
    sys.exit(main())

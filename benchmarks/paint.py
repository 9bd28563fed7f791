"""How good is a painting? Six neutral grey toybox meshes in two colours each, judged and compared with the truth.

    python -m benchmarks.paint [--config configs/latent-paint.yaml] [--quick] [--only car] [key=value ...]

Beside each painting stands what it began with. What has been painted and measured is kept; the same command goes on
where it was stopped. Results of all twelve go to benchmarks/results/, those of a part to the work folder.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from tqdm import tqdm

from app.cli import parse
from app.job import build_system, find_job
from app.training import settle_device
from benchmarks.command import Report, benchmark_parser, run_benchmark, settle_threads
from benchmarks.floors import Floor
from benchmarks.part_colours import PartColours, part_colours
from benchmarks.runs import BenchmarkRun, Trainings, load_trained, plan_run
from benchmarks.toy_prompts import ToyPrompt
from benchmarks.verdicts import judge_object, judged_cameras, judged_pictures
from core.errors import UserError, did_you_mean
from core.files import whole_file
from core.part import Choice
from exporters.painted_mesh import PaintedMesh
from exporters.phases import read_record
from systems.base import LightningSystem
from systems.contact_sheet import save_png, tiled
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
FARTHEST_COLOUR, FIXED_SHARE, SEAM_FACTOR, SEAM_LEAST, LONGEST_S = 0.15, 0.7, 1.5, 4 / 255, 60.0


@dataclass(frozen=True)
class Painting:
    """All figures of one painting."""

    prompt: str
    seconds: float
    """From the command to its end, with all preparation."""
    colour_votes: int
    """Of eight views, in how many the judge names the colour."""
    first_colour_votes: int
    """The same before the first step."""
    parts: PartColours
    first_parts: PartColours
    seam_gap: float
    inner_gap: float

    @property
    def colour_right(self) -> bool:
        """On the majority of views."""
        return 2 * self.colour_votes > 8

    @property
    def seamless(self) -> bool:
        """As the demand on seams has it."""
        return self.seam_gap <= max(SEAM_FACTOR * self.inner_gap, SEAM_LEAST)


def neutral_mesh(kind: str, work: Path) -> Path:
    """The canonical mesh of a kind as a file of plain geometry."""
    path = work / "meshes" / f"{kind}.ply"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as unfinished:
            build(kind).mesh.export(unfinished, file_type="ply")
    return path


def measure(run: BenchmarkRun, seconds: float, device: str) -> Painting:
    """Judge a trained painting and its beginning; views and files are kept in the run's folder."""
    system = load_trained(run, device)
    votes, parts = _look(system, run.prompt, run.folder / "views.png")
    first_votes, first_parts = _look(_untrained(run, device), run.prompt, run.folder / "first.png")
    Choice.of(PaintedMesh, format="glb").build().export(system, run.folder)
    record = read_record(run.folder)["painted-mesh"]["figures"]
    return Painting(
        run.prompt.text, seconds, votes, first_votes, parts, first_parts, record["seam_gap"], record["inner_gap"]
    )


def _look(system: LightningSystem, prompt: ToyPrompt, sheet: Path) -> tuple[int, PartColours]:
    pictures = judged_pictures(system)
    save_png(sheet, tiled([list(pictures)]))
    cameras = judged_cameras(pictures.shape[1])
    return judge_object(prompt, pictures).colour, part_colours(prompt.subject, cameras, pictures)


def _untrained(run: BenchmarkRun, device: str) -> LightningSystem:
    """The same system before its first step."""
    recipe = find_job(parse(["--config", str(run.config), "--prompt", run.prompt.text, *run.overrides])).recipe
    system = build_system(recipe).to(settle_device(device))
    system.prepare()
    return system


def floors(paintings: Sequence[Painting]) -> list[Floor]:
    """The demands, in the order of the issue that states them."""
    n = len(paintings)
    named = sum(painting.colour_right for painting in paintings)
    farthest = max(painting.parts.main_distance for painting in paintings)
    n_fixed, right = (sum(getattr(p.parts, name) for p in paintings) for name in ("n_fixed", "n_fixed_right"))
    share = right / max(n_fixed, 1)
    slowest = max(painting.seconds for painting in paintings)
    seamless = sum(painting.seamless for painting in paintings)
    better = _better_than_first(paintings)
    return [
        Floor("colour named right", named / n, 11 / 12, f"{named} of {n}, at least 11 of 12 wanted"),
        Floor("main colour", -farthest, -FARTHEST_COLOUR, f"farthest {farthest:.3f}, at most {FARTHEST_COLOUR} wanted"),
        Floor(
            "parts of a fixed colour", share, FIXED_SHARE, f"{right} of {n_fixed}, at least {FIXED_SHARE:.0%} wanted"
        ),
        Floor("better than the beginning on all three", float(better), 1.0, "yes" if better else "no"),
        Floor("seams", seamless / n, 1.0, f"{seamless} of {n} within 1.5 x inner edges or 4/255"),
        Floor("time", -slowest, -LONGEST_S, f"slowest {slowest:.0f} s, at most {LONGEST_S:.0f} s wanted"),
    ]


def _better_than_first(paintings: Sequence[Painting]) -> bool:
    votes = sum(p.colour_votes for p in paintings) > sum(p.first_colour_votes for p in paintings)
    colour = fmean(p.parts.main_distance for p in paintings) < fmean(p.first_parts.main_distance for p in paintings)
    fixed = sum(p.parts.n_fixed_right for p in paintings) > sum(p.first_parts.n_fixed_right for p in paintings)
    return votes and colour and fixed


def line(painting: Painting) -> str:
    """One painting in one line."""
    parts, first = painting.parts, painting.first_parts
    return (
        f"{painting.prompt:24} {painting.seconds:5.0f} s  colour {painting.colour_votes}/8 (began "
        f"{painting.first_colour_votes}/8)  distance {parts.main_distance:.3f} ({first.main_distance:.3f})  fixed "
        f"{parts.n_fixed_right}/{parts.n_fixed} ({first.n_fixed_right}/{first.n_fixed})  seams {painting.seam_gap:.4f} "
        f"inner {painting.inner_gap:.4f}"
    )


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
    with Trainings(options.device, settle_threads()) as trainings:
        paintings = [_painted(subject, trainings, options) for subject in tqdm(chosen, unit="painting", disable=None)]
    return Report(
        f"paint-{options.config.stem}",
        whole=len(chosen) == len(SUBJECTS),
        figures={"paintings": [asdict(painting) for painting in paintings]},
        text="\n".join(map(line, paintings)),
        floors=floors(paintings),
    )


def _painted(subject: Subject, trainings: Trainings, options: argparse.Namespace) -> Painting:
    """One painting: as measured before, else painted and measured now."""
    mesh = neutral_mesh(subject.kind, options.work).resolve()
    settings = [*options.overrides, f"system.geometry.path={json.dumps(str(mesh))}", "trainer.preview_every=0"]
    run = plan_run(ToyPrompt(subject), "prompt", options.config, settings, options.work)
    note = run.folder / "measured.json"
    if note.is_file():
        known = json.loads(note.read_text())
        parts = {name: PartColours(**known[name]) for name in ("parts", "first_parts")}
        return Painting(**{**known, **parts})
    painting = measure(run, trainings.train(run), options.device)
    with whole_file(note) as unfinished:
        unfinished.write_text(json.dumps(asdict(painting)))
    tqdm.write(line(painting))
    return painting


if __name__ == "__main__":
    sys.exit(main())

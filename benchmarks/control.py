"""Do paintings gain by a ControlNet of depth? The same meshes, prompts and seeds with it and without, pair by pair.

    python -m benchmarks.control [--control FOLDER] [--scale 1.0] [--only car,house] [--quick] [key=value ...]

The ControlNet is the toybox's, which `python -m toybox.train --control` makes. What has been painted and measured is
kept; the same command goes on where it was stopped.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import fmean

from tqdm import tqdm

from benchmarks.command import Report, benchmark_parser, resolve_threads, run_benchmark
from benchmarks.paint import SUBJECTS, neutral_mesh
from benchmarks.painting import look
from benchmarks.part_colours import PartColours
from benchmarks.runs import BenchmarkRun, Trainings, load_trained, plan_run
from benchmarks.scores import write_sheet
from benchmarks.toy_prompts import ToyPrompt
from core.errors import UserError, did_you_mean
from core.files import write_json
from toybox.world import CONTROL_FOLDER

DESCRIPTION = "Paint toybox meshes with a ControlNet of depth and without, and compare colours and parts."
#: One colour of each kind.
PAINTED = SUBJECTS[::2]
SEEDS = (0, 1)
ARMS = ("without", "with")
#: Arm, kind and seed.
Case = tuple[str, str, int]


@dataclass(frozen=True)
class Painted:
    """One painting."""

    seconds: float
    colour_votes: int
    """Of eight views, in how many the judge names the colour."""
    parts: PartColours
    """Of decoded views."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    quick = "two kinds at one seed"
    parser = benchmark_parser("control", DESCRIPTION, "latent-paint-single-view", work="control", quick=quick)
    parser.add_argument(
        "--control", type=Path, default=CONTROL_FOLDER, metavar="FOLDER", help="the ControlNet of depth"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="how strongly it counts (default: 1)")
    parser.add_argument("--only", default="", metavar="KINDS", help=f"some of {', '.join(s.kind for s in PAINTED)}")
    return run_benchmark(_run, parser.parse_intermixed_args(arguments))


def planned(options: argparse.Namespace) -> dict[Case, BenchmarkRun]:
    """All paintings, by arm, kind and seed; the two of a pair one after the other.

    Raises:
        UserError: --only names a kind that is none.
    """
    kinds, known = [name.strip() for name in options.only.split(",") if name.strip()], [s.kind for s in PAINTED]
    for kind in kinds:
        if kind not in known:
            raise UserError(f"--only {kind}: no such kind here. {did_you_mean(kind, known)}")
    chosen = [s for s in PAINTED if s.kind in (kinds or known)][: 2 if options.quick else None]
    told = f"{{path: {json.dumps(str(options.control.resolve()))}, kind: depth, scale: {options.scale}}}"
    further = {"without": [], "with": [f"system.guidance.control=[{told}]"]}
    runs: dict[Case, BenchmarkRun] = {}
    for seed, subject, arm in product(SEEDS[: 1 if options.quick else None], chosen, ARMS):
        mesh = neutral_mesh(subject.kind, options.work).resolve()
        settings = [*options.overrides, *further[arm], f"seed={seed}", f"system.geometry.path={mesh}"]
        run = plan_run(ToyPrompt(subject), "prompt", options.config, settings, options.work)
        runs[arm, subject.kind, seed] = run
    return runs


def _run(options: argparse.Namespace) -> Report:
    runs, found = planned(options), dict[Case, Painted]()
    with Trainings(options.device, resolve_threads()) as trainings:
        for case, run in tqdm(runs.items(), unit="painting", disable=None):
            found[case] = _painted(run, trainings, options.device)
            tqdm.write(f"{run.name}, {case[0]}, seed {case[2]}: {_line([found[case]])}")

    def draw(folder: Path) -> Path:
        return write_sheet(folder / f"control-{options.config.stem}.png", runs, ARMS)

    paintings = [
        {"control": arm, "kind": kind, "seed": seed, **asdict(each)} for (arm, kind, seed), each in found.items()
    ]
    return Report(
        f"control-{options.config.stem}",
        whole=not options.quick and not options.only,
        figures={"scale": options.scale, "pairs": compared(found), "paintings": paintings},
        text="\n".join(
            [
                *(f"{arm:8} {_line([each for case, each in found.items() if case[0] == arm])}" for arm in ARMS),
                _pairs(found),
            ]
        ),
        draw=draw,
    )


def _painted(run: BenchmarkRun, trainings: Trainings, device: str) -> Painted:
    """One painting: as measured before, else painted and measured now."""
    note = run.folder / "control.json"
    if note.is_file():
        content = json.loads(note.read_text())
        return Painted(**{**content, "parts": PartColours(**content["parts"])})
    seconds = trainings.train(run)
    votes, parts = look(load_trained(run, device), run.prompt, run.folder / "views.png")
    painted = Painted(seconds, votes, parts)
    write_json(note, asdict(painted))
    return painted


def compared(found: Mapping[Case, Painted]) -> dict[str, int]:
    """In how many pairs the ControlNet gives more parts their colour, as many, and fewer."""
    gains = [
        each.parts.n_fixed_right - found["without", kind, seed].parts.n_fixed_right
        for (arm, kind, seed), each in found.items()
        if arm == "with"
    ]
    return {"more": sum(g > 0 for g in gains), "equal": sum(g == 0 for g in gains), "fewer": sum(g < 0 for g in gains)}


def _pairs(found: Mapping[Case, Painted]) -> str:
    return ", ".join(f"{word} parts right in {n} pairs" for word, n in compared(found).items())


def _line(paintings: Sequence[Painted]) -> str:
    """Sums and means of some paintings."""
    right, n = (sum(getattr(each.parts, name) for each in paintings) for name in ("n_fixed_right", "n_fixed"))
    votes = sum(each.colour_votes for each in paintings)
    distance, seconds = fmean(each.parts.main_distance for each in paintings), fmean(each.seconds for each in paintings)
    return f"parts {right}/{n}  colour {votes}/{8 * len(paintings)}  distance {distance:.3f}  {seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())

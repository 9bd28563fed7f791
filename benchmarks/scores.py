"""Which score makes the best objects? Each on six toybox prompts and two seeds, at equal calls of the denoiser.

    python -m benchmarks.scores [--config configs/latent-nerf.yaml] [--only sds,csd] [--quick] [--jobs 1] [key=value]

A score that asks the denoiser more often takes fewer steps, one that asks less often more. What has been trained and
measured is kept, case by case; the same command goes on where it was stopped.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from tqdm import tqdm

from benchmarks.command import Report, benchmark_parser, resolve_threads, run_benchmark
from benchmarks.figures import Figures, measure
from benchmarks.refine import look
from benchmarks.results import LABEL_HEIGHT
from benchmarks.runs import BenchmarkRun, Trainings, load_trained, plan_run
from benchmarks.toy_prompts import toy_prompts
from benchmarks.verdicts import Votes
from core.errors import UserError, did_you_mean
from core.files import write_json
from core.recipe import read_recipe
from systems.contact_sheet import GAP, save_png

DESCRIPTION = "Train toybox prompts with each score at equal calls of the denoiser, and have the objects judged."
OBJECTS = "mushroom,chair,mug,car,duck,house"
SEEDS = (0, 1)


@dataclass(frozen=True)
class ScoreCase:
    """A score, as overrides of a recipe that says `sds`, and its further calls of the denoiser for each view."""

    overrides: tuple[str, ...]
    further_calls: float = 0


def _guidance(*settings: str) -> tuple[str, ...]:
    return tuple(f"system.guidance.{setting}" for setting in settings)


#: Calls of the denoiser for each view with `sds`: for the prompt, and for the unconditional text.
CALLS = 2
#: A backward pass through the denoiser counts as two calls.
SCORES = {
    "sds": ScoreCase(()),
    "sds-annealed": ScoreCase(_guidance("timesteps=annealed")),
    "sds-normalized": ScoreCase(_guidance("normalize=true")),
    "csd": ScoreCase(_guidance("score=csd")),
    # The bundled model knows no such words as "ugly": what is not to be seen is another thing, of none of the colours.
    "csd-negative": ScoreCase(
        _guidance("score=csd", "negative_prompt=a black sofa", "negative_scale={start: 1, end: 0, from: 0.0, to: 0.8}"),
        1,
    ),
    "nfsd": ScoreCase(_guidance("score=nfsd"), 1),
    "asd": ScoreCase(_guidance("score=asd"), 1),
    "vsd": ScoreCase(_guidance("score=vsd"), 3),
    "sdi": ScoreCase(_guidance("noise=inverted", "inversion_steps=3", "timesteps=annealed"), 3),
    "surface": ScoreCase(_guidance("noise=surface", "timesteps=annealed")),
    "sir": ScoreCase(
        _guidance(
            "loss=reconstruction",
            "weighting=uniform",
            "denoising_steps=4",
            "fits=8",
            "timesteps=annealed",
            "guidance_scale=5",
            "max_noise={start: 0.95, end: 0.2, from: 0.0, to: 0.9}",
        ),
        CALLS * 4 / 8 - CALLS,
    ),
}


@dataclass(frozen=True)
class Measured:
    """One object."""

    score: str
    seed: int
    steps: int
    colour_error: float
    """Between the mean colours of the object and of the canonical one, in RGB of [0, 1]."""
    figures: Figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    parser = benchmark_parser(
        "scores", DESCRIPTION, "latent-nerf", work="scores", quick="one prompt and one seed, a tenth of the steps"
    )
    parser.add_argument("--only", default="", metavar="NAMES", help=f"some scores of {', '.join(SCORES)}")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once; they share the cores (default: 1)")
    return run_benchmark(_run, parser.parse_intermixed_args(arguments))


def chosen_scores(names: str) -> list[str]:
    """The scores named, or all.

    Raises:
        UserError: one of them is none.
    """
    chosen = [name.strip() for name in names.split(",") if name.strip()]
    for name in chosen:
        if name not in SCORES:
            raise UserError(f"--only {name}: no such score. {did_you_mean(name, SCORES)}")
    return chosen or list(SCORES)


def steps_at_equal_calls(steps: int, calls: int, further_calls: float) -> int:
    """Steps in which a score asks as often in all as one that takes `steps` and asks `calls` times a step."""
    return max(1, round(steps * calls / (calls + further_calls)))


def planned(options: argparse.Namespace) -> dict[tuple[str, str, int], BenchmarkRun]:
    """All trainings, by score, object and seed; in an order in which a part of them compares the scores too."""
    recipe = read_recipe(options.config, options.overrides)
    steps = recipe.trainer.max_steps // (10 if options.quick else 1)
    prompts = toy_prompts(OBJECTS)[: 1 if options.quick else None]
    runs: dict[tuple[str, str, int], BenchmarkRun] = {}
    seeds = SEEDS[: 1 if options.quick else None]
    for seed, prompt, name in product(seeds, prompts, chosen_scores(options.only)):
        case = SCORES[name]
        n = steps_at_equal_calls(steps, CALLS, case.further_calls)
        settings = [*options.overrides, *case.overrides, f"trainer.max_steps={n}", f"seed={seed}"]
        run = plan_run(prompt, "prompt", options.config, settings, options.work)
        runs[name, prompt.subject.kind, seed] = run
    return runs


def _run(options: argparse.Namespace) -> Report:
    runs, n_threads = planned(options), resolve_threads(options.jobs)
    found: list[Measured] = []
    with ThreadPoolExecutor(options.jobs) as pool, Trainings(options.device, n_threads) as trainings:
        waiting = [pool.submit(trainings.train, run) for run in runs.values()]
        try:
            pairs = zip(runs.items(), waiting, strict=True)
            for ((name, _, seed), run), future in tqdm(pairs, total=len(runs), desc="scores", disable=None):
                found.append(_measured(name, seed, run, future.result(), options.device))
                tqdm.write(_line(name, [found[-1]]))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    by_score = {name: [each for each in found if each.score == name] for name in chosen_scores(options.only)}
    lines = [
        "| score | steps | named right | front and back | IoU | colour error | seconds |",
        "|---|---|---|---|---|---|---|",
        *(_line(name, each) for name, each in by_score.items()),
    ]

    def draw(folder: Path) -> Path:
        return write_sheet(folder / f"scores-{options.config.stem}.png", runs, list(by_score))

    figures: dict[str, Any] = {"scores": {name: [asdict(one) for one in each] for name, each in by_score.items()}}
    whole = not options.quick and not options.only
    return Report(f"scores-{options.config.stem}", whole, figures, "\n".join(lines), draw=draw)


def _measured(name: str, seed: int, run: BenchmarkRun, seconds: float, device: str) -> Measured:
    """The figures of a trained object, from the disk where they have been taken before."""
    note = run.folder / "score.json"
    if note.is_file():
        content = json.loads(note.read_text())
        figures = content["figures"]
        figures = Figures(**{**figures, "votes": Votes(**figures["votes"])})
        return Measured(**{**content, "score": name, "figures": figures})
    system = load_trained(run, device)
    figures = measure(system, run.prompt, seconds, run.folder)
    error = look(system, run.prompt, run.folder / "looked.png").colour_error
    measured = Measured(name, seed, system.total_steps, error, figures)
    write_json(note, asdict(measured))
    return measured


def _line(name: str, found: Sequence[Measured]) -> str:
    """The means of some objects as a row of the table."""
    votes = [each.figures.votes for each in found]
    n_views = sum(vote.n_views for vote in votes)
    placed = [vote for vote in votes if vote.azimuth is not None]
    front = f"{sum(vote.azimuth or 0 for vote in placed)}/{sum(vote.n_views for vote in placed)}" if placed else ""
    cells = [
        name,
        str(found[0].steps),
        f"{sum(vote.both for vote in votes)}/{n_views}",
        front,
        f"{fmean(each.figures.iou for each in found):.3f}",
        f"{fmean(each.colour_error for each in found):.3f}",
        f"{fmean(each.figures.seconds for each in found):.0f}",
    ]
    return f"| {' | '.join(cells)} |"


def write_sheet(path: Path, runs: dict[tuple[str, str, int], BenchmarkRun], scores: Sequence[str]) -> Path:
    """One row per score: front and back of each object at the first seed."""
    rows: list[np.ndarray] = []
    for score in scores:
        pieces: list[np.ndarray] = []
        for (name, _, seed), run in runs.items():
            if name == score and seed == SEEDS[0]:
                strip = np.asarray(Image.open(run.folder / "views.png").convert("RGB"))
                size = strip.shape[0]
                pieces += [strip[:, first : first + size] for first in (0, 4 * (size + GAP))]
        row = np.concatenate(pieces, axis=1)
        label = Image.new("RGB", (row.shape[1], LABEL_HEIGHT), "white")
        ImageDraw.Draw(label).text((GAP, 1), score, fill="black")
        rows += [np.asarray(label), row]
    save_png(path, np.concatenate(rows, axis=0))
    return path


if __name__ == "__main__":
    sys.exit(main())

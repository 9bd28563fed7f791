"""What does the RGB stage make of a trained Latent-NeRF? Both judged, and compared with the canonical object.

    python -m benchmarks.refine --run RUN [--run RUN ...] [--config configs/latent-nerf-rgb.yaml] [key=value ...]

RUN is a finished run of a toybox prompt of one colour, such as "a red mushroom". Its refinement is trained once and
kept. Sharpness is the mean gradient of brightness on the object, over that of the canonical object in training light.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from app.api import Run
from app.plan import Request, make_plan
from app.run_folder import read_prompt, run_name
from benchmarks.canonical import canonical_views
from benchmarks.command import Report, benchmark_parser, resolve_threads, run_benchmark
from benchmarks.floors import Floor
from benchmarks.runs import BenchmarkRun, Trainings, load_trained
from benchmarks.toy_prompts import ToyPrompt
from benchmarks.verdicts import judge_object, judged_cameras, judged_pictures
from core.errors import UserError
from systems.base import LightningSystem
from systems.contact_sheet import save_png, tiled
from toybox.captions import subjects

DESCRIPTION = "Refine finished runs in RGB, and judge them before and after."
SHARPEST = 1.3
BRIGHTNESS = torch.tensor([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Look:
    """Figures of eight views of one object."""

    votes: int
    """Views in which the judge names object and colour."""
    colour_error: float
    """Between the mean colours of the object and of the canonical one, in RGB of [0, 1]."""
    sharpness: float
    """As a multiple of the canonical object's."""


def look(system: LightningSystem, prompt: ToyPrompt, sheet: Path) -> Look:
    """Judge and measure a trained system; its views are kept as a picture."""
    pictures = judged_pictures(system)
    save_png(sheet, tiled([list(pictures)]))
    cameras = judged_cameras(pictures.shape[1])
    votes = judge_object(prompt, pictures)
    right = zip(votes.kinds, votes.colours, strict=True)
    true, parts = canonical_views(prompt.subject, cameras)
    there = parts >= 0
    here = system.render(cameras).opacity.cpu() > 0.5
    mean_true, mean_ours = true[there].mean(dim=0), pictures[here].mean(dim=0) if here.any() else torch.zeros(3)
    return Look(
        votes=sum(pair == (prompt.subject.kind, prompt.subject.main) for pair in right),
        colour_error=float((mean_ours - mean_true).norm()),
        sharpness=sharpness(pictures, here) / sharpness(true, there),
    )


def sharpness(pictures: Float[Tensor, "views rows columns 3"], mask: Bool[Tensor, "views rows columns"]) -> float:
    """Mean length of the brightness's gradient over pixels whose neighbours lie on the object too, per pixel."""
    brightness = pictures @ BRIGHTNESS
    across = brightness[:, :-1, 1:] - brightness[:, :-1, :-1]
    down = brightness[:, 1:, :-1] - brightness[:, :-1, :-1]
    inside = mask[:, :-1, :-1] & mask[:, :-1, 1:] & mask[:, 1:, :-1]
    return float((across.square() + down.square()).sqrt()[inside].mean()) if bool(inside.any()) else 0.0


def floors(pairs: Sequence[tuple[Look, Look]]) -> list[Floor]:
    """The demands on before and after, over all runs."""
    n = len(pairs)
    votes = [sum(pair[i].votes for pair in pairs) for i in range(2)]
    error = [sum(pair[i].colour_error for pair in pairs) / n for i in range(2)]
    sharp = [sum(pair[i].sharpness for pair in pairs) / n for i in range(2)]
    return [
        Floor("views judged right do not fall", votes[1] - votes[0], 0, f"{votes[0]} -> {votes[1]} of {8 * n}"),
        Floor("colour error does not rise", error[0] - error[1], 0, f"{error[0]:.3f} -> {error[1]:.3f}"),
        Floor(
            "sharpness rises",
            sharp[1] - sharp[0],
            0,
            f"{sharp[0]:.2f} -> {sharp[1]:.2f} of the canonical one's",
            strictly=True,
        ),
        Floor("not beyond what is there", -sharp[1], -SHARPEST, f"{sharp[1]:.2f}, at most {SHARPEST} wanted"),
    ]


def plan_refinement(run: Path, options: argparse.Namespace) -> BenchmarkRun:
    """What refines a run: a training that begins with its result, in a folder of its own for each recipe."""
    prompt = _prompt(run)
    overrides = [*options.overrides, "exporters=[]", "trainer.preview_every=0"]
    plan = make_plan(Request(recipe=options.config, start_from=run, overrides=tuple(overrides), device="cpu"))
    folder = options.work / f"{run.name}-{run_name(plan.recipe)}"
    return BenchmarkRun(prompt, "prompt", options.config.resolve(), tuple(overrides), folder, start=run)


def _prompt(run: Path) -> ToyPrompt:
    text = read_prompt(run)
    for seen in (True, False):
        for subject in subjects(seen):
            if subject.second is None and subject.caption() == text:
                return ToyPrompt(subject)
    raise UserError(f"{run}: its prompt {text!r} is none of a toy object of one colour")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    quick = "the first run alone"
    parser = benchmark_parser("refine", DESCRIPTION, "latent-nerf-rgb", work="refine", quick=quick)
    parser.add_argument("--run", action="append", type=Path, required=True, help="a finished run; may be repeated")
    return run_benchmark(_run, parser.parse_intermixed_args(arguments))


def _run(options: argparse.Namespace) -> Report:
    pairs: list[tuple[str, tuple[Look, Look]]] = []
    with Trainings(options.device, resolve_threads()) as trainings:
        for path in options.run[: 1 if options.quick else None]:
            run = plan_refinement(path.resolve(), options)
            trainings.train(run)
            before = Run.load(path, device=options.device).system
            after = load_trained(run, options.device)
            looks = [
                look(system, run.prompt, run.folder / f"{when}.png")
                for when, system in (("before", before), ("after", after))
            ]
            pairs.append((run.prompt.text, (looks[0], looks[1])))
            print(f"{run.prompt.text}: {looks[0]} -> {looks[1]}", flush=True)
    return Report(
        f"refine-{options.config.stem}",
        whole=not options.quick,
        figures={"objects": [{"prompt": text, "before": asdict(a), "after": asdict(b)} for text, (a, b) in pairs]},
        text="\n".join(f"{text}: {a} -> {b}" for text, (a, b) in pairs),
        floors=floors([pair for _, pair in pairs]),
    )


if __name__ == "__main__":
    sys.exit(main())

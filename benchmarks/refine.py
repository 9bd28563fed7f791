"""What does the RGB stage make of a trained Latent-NeRF? Both judged, and compared with the canonical object.

    python -m benchmarks.refine RUN... [--config configs/latent-nerf-rgb.yaml] [key=value ...]

RUN is a finished run of a toybox prompt of one colour, such as "a red mushroom". Its refinement is trained once and
kept. Sharpness is the mean gradient of brightness on the object, over that of the canonical object in training light.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from app.cli import parse
from app.job import find_job, trained_system
from app.parts import load_house
from app.run_folder import latest_checkpoint, read_prompt
from app.training import settle_device
from benchmarks.canonical import canonical_views
from benchmarks.floors import Floor
from benchmarks.machine import ROOT, describe_machine
from benchmarks.results import floor_lines
from benchmarks.toy_prompts import ToyPrompt
from benchmarks.verdicts import judge_object, judged_cameras, judged_pictures
from core.errors import UserError
from core.files import whole_file
from systems.base import LightningSystem
from systems.contact_sheet import save_png, tiled
from toybox.captions import subjects

WORK = ROOT / "runs" / "benchmarks" / "refine"
SHARPEST = 1.3
BRIGHTNESS = torch.tensor([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Look:
    """What eight views of an object show."""

    votes: int
    """Views in which the judge names object and colour."""
    colour_error: float
    """Between the mean colours of the object and of the canonical one, in RGB of [0, 1]."""
    sharpness: float
    """Over that of the canonical object."""


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
        Floor("sharpness rises", sharp[1] - sharp[0], 0, f"{sharp[0]:.2f} -> {sharp[1]:.2f} of the canonical one's"),
        Floor("not beyond what is there", -sharp[1], -SHARPEST, f"{sharp[1]:.2f}, at most {SHARPEST} wanted"),
    ]


def refined(run: Path, options: argparse.Namespace) -> Path:
    """The run's refinement, trained now unless that has been done.

    Raises:
        UserError: the training failed.
    """
    out = options.work / run.name
    finished = [folder for folder in out.glob("*") if latest_checkpoint(folder) is not None]
    if finished and (out / "done").is_file():
        return finished[-1]
    out.mkdir(parents=True, exist_ok=True)
    named = ["--config", str(options.config), "--from", str(run), "--out", str(out), "exporters=[]"]
    command = [sys.executable, str(ROOT / "launch.py"), *named, "trainer.preview_every=0", *options.overrides]
    with (out / "log.txt").open("wb") as log:
        status = subprocess.run(command, stdout=log, stderr=log, cwd=ROOT, env=os.environ, check=False).returncode
    if status != 0:
        raise UserError(f"{run.name}: its refinement ended with code {status}, see {out / 'log.txt'}")
    (out / "done").touch()
    return next(folder for folder in out.glob("*") if latest_checkpoint(folder) is not None)


def _system(run: Path) -> LightningSystem:
    return trained_system(find_job(parse(["--export", str(run)])), settle_device("auto"))[0]


def _prompt(run: Path) -> ToyPrompt:
    text = read_prompt(run)
    for seen in (True, False):
        for subject in subjects(seen):
            if subject.second is None and subject.caption() == text:
                return ToyPrompt(subject)
    raise UserError(f"{run}: its prompt {text!r} is none of a toy object of one colour")


def main(arguments: Sequence[str] | None = None) -> int:
    """Refine, measure, print, write the JSON file; exit code 1 where a demand is not met."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.refine")
    parser.add_argument("runs", nargs="+", metavar="RUN|key=value", help="finished runs, and settings that win")
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "latent-nerf-rgb.yaml", metavar="RECIPE")
    parser.add_argument("--work", type=Path, default=WORK, metavar="DIR", help="where refinements are kept")
    options = parser.parse_args(arguments)
    options.overrides = [word for word in options.runs if "=" in word]
    runs = [Path(word).resolve() for word in options.runs if "=" not in word]
    load_house()
    rows = []
    try:
        for run in runs:
            prompt, after = _prompt(run), refined(run, options)
            pair = (
                look(_system(run), prompt, options.work / f"{run.name}-before.png"),
                look(_system(after), prompt, options.work / f"{run.name}-after.png"),
            )
            rows.append((prompt.text, pair))
            print(f"{prompt.text}: {pair[0]} -> {pair[1]}")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    found = floors([pair for _, pair in rows])
    path = options.work / "refine.json"
    with whole_file(path) as unfinished:
        objects = [{"prompt": text, "before": asdict(a), "after": asdict(b)} for text, (a, b) in rows]
        content = {"machine": describe_machine(), "overrides": options.overrides, "objects": objects}
        unfinished.write_text(json.dumps(content, indent=1) + "\n")
    print(f"{floor_lines(found)}\n{path}")
    return int(not all(floor.met for floor in found))


if __name__ == "__main__":
    sys.exit(main())

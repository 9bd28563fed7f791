"""Judges the bundled model and writes its card: python -m toybox.evaluate [--quick] [--only PART] [--model FOLDER]

`--multiview` judges the multi-view model instead (`toybox/view_evaluate.py`), `--control` the ControlNet of depth.
Pictures are made once, from fixed captions and seeds; none is chosen or drawn again.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from toybox.card import CARD, judge_steps, write_card
from toybox.checkpoint import save_json
from toybox.control_evaluate import evaluate_control
from toybox.data import FreshViews
from toybox.denoiser import FINE_PIXELS
from toybox.judge import load_judge
from toybox.judge.network import FOLDER as JUDGE_FOLDER
from toybox.latent_figures import distil_pictures, judge_autoencoder
from toybox.latents import StableDiffusionPipeline
from toybox.picture_figures import Request, judge_pictures, requests
from toybox.pipeline import generate, load_pipeline, sheet
from toybox.view_evaluate import evaluate_multiview
from toybox.world import MODEL_FOLDER

SEED = 2024
SDS_PROMPTS = 8
PARTS = ("pictures", "autoencoder", "distilled")


def main(arguments: list[str] | None = None) -> int:
    """Measures, writes `evaluation.json`, the contact sheet and the model card; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--multiview" in arguments:
        return evaluate_multiview([argument for argument in arguments if argument != "--multiview"])
    if "--control" in arguments:
        return evaluate_control([argument for argument in arguments if argument != "--control"])
    options = _options(arguments)
    parts = (options.only,) if options.only else PARTS
    shrink = 10 if options.quick else 1
    asked = requests(400 // shrink, seen=True) + requests(200 // shrink, seen=False)
    figures = _earlier(options) if options.only and not options.quick else {}
    pipeline, started = load_pipeline(options.model), time.monotonic()
    measured, pictures, distilled = {}, None, None
    if "pictures" in parts:
        pictures = _draw(pipeline, asked)
        measured |= judge_pictures(asked, load_judge().verdicts(pictures))
        measured["judge_steps"] = judge_steps(json.loads((JUDGE_FOLDER / "judge.json").read_text()))
    if "autoencoder" in parts:
        batch = FreshViews().draw(np.random.default_rng(SEED), 128 // shrink, FINE_PIXELS)
        measured["autoencoder"] = judge_autoencoder(pipeline.vae, batch)
    if "distilled" in parts:
        measured["distilled_2d"], distilled = _distil(pipeline, asked, shrink)
    if not options.only:
        measured["seconds"] = round(time.monotonic() - started)
    print(json.dumps(measured, indent=2))
    if distilled is not None:
        sheet(distilled, 4).save(options.work / "distilled.png")
    if not options.quick:
        _publish(options.model, figures | measured, asked, pictures)
    return 0


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m toybox.evaluate", description="Judges the bundled model and writes its card."
    )
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / ".work", help="where distilled.png goes")
    parser.add_argument(
        "--model", type=Path, default=MODEL_FOLDER, help="another model's figures go into its folder, without a card"
    )
    only = "measure one part again, or none and write the card; the other figures stay as they are"
    parser.add_argument("--only", choices=(*PARTS, "card"), help=only)
    parser.add_argument("--quick", action="store_true", help="a tenth of the pictures; figures and card stay")
    options = parser.parse_args(arguments)
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def _earlier(options: argparse.Namespace) -> dict:
    path = options.model / "evaluation.json"
    if not path.exists():
        sys.exit(f"toybox.evaluate: {path}: no figures yet that --only {options.only} could join; run without --only")
    return json.loads(path.read_text())


def _draw(pipeline: StableDiffusionPipeline, asked: list[Request]) -> Tensor:
    """One picture for each request, [requests, 3, height, width]."""
    made = []
    for first in tqdm(range(0, len(asked), 20), desc="pictures", unit="batch"):
        captions = [request.caption for request in asked[first : first + 20]]
        made.append(generate(pipeline, captions, seed=SEED + first))
    return torch.cat(made)


def _distil(pipeline: StableDiffusionPipeline, asked: list[Request], shrink: int) -> tuple[dict, Tensor]:
    """How many of SDS_PROMPTS distilled pictures the judge names right, and the pictures."""
    wanted = [request for request in asked if request.word != "bottom"][:: max(1, 60 // shrink)][:SDS_PROMPTS]
    captions = [request.caption for request in wanted]
    distilled = distil_pictures(pipeline, captions, 400 // shrink, SEED)
    named = [v.kind == r.subject.kind for r, v in zip(wanted, load_judge().verdicts(distilled), strict=True)]
    return {"named": sum(named), "of": len(named), "captions": captions}, distilled


def _publish(model: Path, figures: dict, asked: list[Request], pictures: Tensor | None) -> None:
    """Writes figures into the model's folder; card and contact sheet too where that is the bundled model."""
    save_json(model / "evaluation.json", figures)
    if model.resolve() != MODEL_FOLDER.resolve():
        return
    unseen = next(index for index, request in enumerate(asked) if not request.seen)
    shown = [*range(40), *range(unseen, unseen + 8)]
    if pictures is not None:
        sheet(pictures[shown], 8).save(CARD.with_name("contact-sheet.png"), optimize=True)
    write_card(model, [asked[index].caption for index in shown])


if __name__ == "__main__":
    sys.exit(main())

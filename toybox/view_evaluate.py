"""`python -m toybox.evaluate --multiview`: judges the multi-view model and writes its card.

Objects, cameras and seeds are fixed beforehand; none is chosen or drawn again.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from toybox.checkpoint import save_json
from toybox.judge import load_judge
from toybox.pipeline import sheet
from toybox.precision import quick_autocast
from toybox.view_card import write_view_card
from toybox.view_command import load_multiview
from toybox.view_denoiser import ViewDenoiser
from toybox.view_figures import ViewRequest, hull_agreement, hull_requests, judge_views, view_requests
from toybox.view_pictures import drawn_views
from toybox.view_sets import N_VIEWS
from toybox.world import MULTIVIEW_FOLDER

SEED = 2025
AT_ONCE = 8  # objects
SHEET_OBJECTS = 24


def evaluate_multiview(arguments: list[str]) -> int:
    """Measures, writes `evaluation.json`, contact sheet and card into the model's folder; returns the exit code."""
    options = _options(arguments)
    shrink = 10 if options.quick else 1
    asked = view_requests(100 // shrink, True, SEED) + view_requests(50 // shrink, False, SEED)
    hulls = hull_requests(SEED)[:: 1 if shrink == 1 else 6]
    try:
        denoiser, vae = load_multiview(options.model)
    except ValueError as refusal:
        sys.exit(f"toybox.evaluate: {refusal}")
    started, judge = time.monotonic(), load_judge()
    size = options.size or denoiser.unet.config.sample_size
    pictures = _draw(denoiser, vae, asked, size, "views")
    figures = judge_views(asked, [judge.verdicts(views) for views in pictures])
    around = _draw(denoiser, vae, hulls, size, "hulls")
    overlaps = [hull_agreement(request, views) for request, views in zip(hulls, around, strict=True)]
    figures["hull"] = {
        "mean": round(float(np.mean(overlaps)), 3),
        "by_kind": {r.subject.kind: round(o, 3) for r, o in zip(hulls, overlaps, strict=True)},
    }
    figures |= {"latent_size": size, "seconds": round(time.monotonic() - started)}
    print(json.dumps(figures, indent=2))
    if not options.quick:
        save_json(options.model / "evaluation.json", figures)
        shown = list(range(0, min(len(asked), 100), 100 // SHEET_OBJECTS))[:SHEET_OBJECTS]
        sheet(pictures[shown].flatten(0, 1), 3 * N_VIEWS).save(options.model / "contact-sheet.png", optimize=True)
        write_view_card(options.model, [asked[index].subject.caption() for index in shown])
    return 0


def _draw(denoiser: ViewDenoiser, vae: object, asked: Sequence[ViewRequest], size: int, name: str) -> Tensor:
    """[requests, views, 3, height, width]."""

    def quick(*asked_for: Any) -> Tensor:
        with quick_autocast("cpu"):
            return denoiser(*asked_for)

    made = []
    for first in tqdm(range(0, len(asked), AT_ONCE), desc=name, unit="batch"):
        part = asked[first : first + AT_ONCE]
        captions = [request.subject.caption() for request in part]
        seeds = [SEED + first + i for i in range(len(part))]
        made.append(drawn_views(quick, vae, captions, [request.views for request in part], size, seeds))
    return torch.cat(made)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m toybox.evaluate --multiview", description="Judges the multi-view model and writes its card."
    )
    parser.add_argument("--model", type=Path, default=MULTIVIEW_FOLDER, help="where the model lies, and figures go")
    parser.add_argument("--size", type=int, help="side of the latents (the model's own)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the pictures; figures and card stay")
    return parser.parse_args(arguments)

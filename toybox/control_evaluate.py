"""`python -m toybox.evaluate --control`: what the ControlNet of depth adds to the bundled model, and its card.

The same captions, noise and cameras, drawn with the ControlNet and without; none is chosen or drawn again.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from toybox.card import training_part
from toybox.checkpoint import save_json
from toybox.control import depth_pictures
from toybox.control_command import load_control
from toybox.denoiser import FINE_PIXELS
from toybox.judge import load_judge
from toybox.latents import diffusers
from toybox.pipeline import SAMPLING_GUIDANCE, SAMPLING_STEPS, load_pipeline, sheet
from toybox.silhouettes import overlap, silhouettes
from toybox.view_figures import ViewRequest, judge_views, view_requests
from toybox.world import CONTROL_FOLDER, MODEL_FOLDER, load_world

SEED, AT_ONCE = 2026, 16
SHEET_COLUMNS = 12
FIGURES = ("object", "colour", "azimuth")


def evaluate_control(arguments: list[str]) -> int:
    """Measures, writes `evaluation.json`, contact sheet and card into its folder; returns the exit code."""
    options = _options(arguments)
    asked = view_requests(11 if options.quick else 44, True, SEED)
    views = [view for request in asked for view in request.views]
    subjects = [request.subject for request in asked for _ in request.views]
    words = [load_world().view_word(view.elevation_deg, view.azimuth_deg) for view in views]
    captions = [subject.caption(word) for subject, word in zip(subjects, words, strict=True)]
    conditions, started = depth_pictures(subjects, views, FINE_PIXELS), time.monotonic()
    with_control = drawn(load_control(options.model), captions, conditions, 1.0)
    without = drawn(load_control(options.model), captions, conditions, 0.0)
    figures = {
        "with": _judged(asked, with_control, conditions),
        "without": _judged(asked, without, conditions),
        "seconds": round(time.monotonic() - started),
    }
    print(json.dumps(figures, indent=2))
    if not options.quick:
        save_json(options.model / "evaluation.json", figures)
        shown = slice(None, None, len(views) // SHEET_COLUMNS)
        rows = torch.cat([pictures[shown][:SHEET_COLUMNS] for pictures in (conditions, with_control, without)])
        sheet(rows, SHEET_COLUMNS).save(options.model / "contact-sheet.png", optimize=True)
        write_control_card(options.model, captions[shown][:SHEET_COLUMNS])
    return 0


@torch.no_grad()
def drawn(control: Any, captions: Sequence[str], conditions: Tensor, scale: float) -> Tensor:
    """Pictures [captions, 3, size, size] in 0..1, by diffusers' own pipeline; each depends on its own row alone."""
    parts = load_pipeline(MODEL_FOLDER).components
    pipeline = diffusers.StableDiffusionControlNetPipeline(**parts, controlnet=control, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    made = []
    for first in tqdm(range(0, len(captions), AT_ONCE), desc=f"pictures at scale {scale:g}", unit="batch"):
        texts = list(captions[first : first + AT_ONCE])
        rngs = [torch.Generator().manual_seed(SEED + first + i) for i in range(len(texts))]
        told = {"num_inference_steps": SAMPLING_STEPS, "guidance_scale": SAMPLING_GUIDANCE, "output_type": "pt"}
        shown = conditions[first : first + AT_ONCE].contiguous()
        made.append(pipeline(texts, shown, generator=rngs, controlnet_conditioning_scale=scale, **told).images.float())
    return torch.cat(made)


def _judged(asked: list[ViewRequest], pictures: Tensor, conditions: Tensor) -> dict[str, Any]:
    """Shares named right, and the mean overlap of outlines with those that were shown."""
    verdicts = load_judge().verdicts(pictures)
    n_views = len(asked[0].views)
    figures = judge_views(asked, [verdicts[i : i + n_views] for i in range(0, len(verdicts), n_views)])
    pairs = zip(silhouettes(pictures), conditions[:, 0] > 0, strict=True)
    outlines = [overlap(ours, true) for ours, true in pairs]
    return {**{name: figures[name] for name in FIGURES}, "outline": round(sum(outlines) / len(outlines), 3)}


def write_control_card(folder: Path, captions: Sequence[str]) -> None:
    """Writes the card into the ControlNet's folder.

    Args:
        captions: of the contact sheet's columns.
    """
    facts, figures = (json.loads((folder / f"{name}.json").read_text()) for name in ("training", "evaluation"))
    titles = {
        "object": "object named right",
        "colour": "main colour named right",
        "azimuth": "azimuth within 30 degrees",
    }
    ours, plain = figures["with"], figures["without"]
    rows = [f"| {title} | {ours[n]['share']:.1%} | {plain[n]['share']:.1%} |" for n, title in titles.items()]
    rows.append(f"| outline's overlap with the one shown, mean | {ours['outline']:.3f} | {plain['outline']:.3f} |")
    (folder / "README.md").write_text(f"""# Toybox, depth: a ControlNet for the bundled model

<!-- written by `python -m toybox.evaluate --control`; change toybox/control_evaluate.py instead -->

A stock `ControlNetModel` of diffusers that shows `toybox/model` the depth of what it is to draw (inverse depth along
the optical axis over its maximum: near is bright, nothing black; pictures of 128 x 128). It began as a copy of the
denoiser's first half and was trained on the toy world's own renders; the denoiser itself is as it was.

    python launch.py --config configs/latent-paint.yaml --prompt "a green car" system.geometry.path=car.glb \\
        'system.guidance.control=[{{path: toybox/depth, kind: depth}}]'

![Samples](contact-sheet.png)

Above what it is shown, in the middle what the model then draws, below what it draws for the same caption and noise
without (evenly taken from the pictures below, none chosen): {"; ".join(captions)}.

## Figures
On {ours["object"]["count"]} pictures from cameras drawn over the whole range, 32 x 32 latents:

| | with | without |
|---|---|---|
{chr(10).join(rows)}

The azimuth counts for kinds with a front ({ours["azimuth"]["count"]} pictures). Without, the caption's word alone tells
it, and "side" does not say which.

## How it was made
{training_part(facts, "python -m toybox.train --control")}

To go on: `python -m toybox.train --control --steps N` in the same `--work`; then `python -m toybox.evaluate --control`
measures, and writes this card anew.
""")


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m toybox.evaluate --control", description="Judges the ControlNet of depth and writes its card."
    )
    parser.add_argument("--model", type=Path, default=CONTROL_FOLDER, help="where it lies, and figures go")
    parser.add_argument("--quick", action="store_true", help="a quarter of the pictures; figures and card stay")
    return parser.parse_args(arguments)

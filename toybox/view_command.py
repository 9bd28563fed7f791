"""`python -m toybox.train --multiview`: trains the bundled multi-view model from the bundled denoiser's weights.

python -m toybox.train --multiview [--work FOLDER] [--out FOLDER] [--until data|denoiser|export] [--snapshot]

It goes on where --work holds a training, with its settings, after a kill at any time.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from toybox.beginnings import kept_settings
from toybox.buffers import View
from toybox.captions import Subject
from toybox.checkpoint import save_json
from toybox.judge import load_judge
from toybox.latents import AutoencoderKL
from toybox.learning import snapshot
from toybox.origins import origin_facts
from toybox.pipeline import assemble, export, load_pipeline, sheet
from toybox.told_cameras import CONVENTION
from toybox.view_denoiser import ViewDenoiser
from toybox.view_figures import judge_views, view_requests
from toybox.view_pictures import mean_pictures
from toybox.view_plan import COARSE, FINE, ViewSettings
from toybox.view_sets import N_VIEWS, SET_PICTURES, ViewSets
from toybox.view_training import CHECKPOINT, train_views
from toybox.world import MODEL_FOLDER, MULTIVIEW_FOLDER, load_world

STAGES = ("data", "denoiser", "export")
AZIMUTHS_DEG = tuple(range(0, 360, 45))
SHEET_ELEVATION_DEG = 15.0


def train_multiview(arguments: list[str]) -> int:
    """Runs what is not done yet; returns the exit code."""
    options = _options(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    started = kept_settings(options.work / CHECKPOINT, ViewSettings())
    said = {name: getattr(options, name) for name in ("mean_steps", "coarse_steps", "fine_steps", "most_sets", "seed")}
    settings = replace(started, **{name: value for name, value in said.items() if value is not None})
    pipeline = load_pipeline(options.start)
    vae = pipeline.vae.requires_grad_(False).to(memory_format=torch.channels_last)
    torch.manual_seed(settings.seed)
    denoiser = ViewDenoiser.widened(pipeline)
    if options.until == "data":
        for size in (COARSE, FINE):
            sets = ViewSets(options.work, vae, size, settings.seed)
            for number in tqdm(range(settings.sets_of(size)), desc=f"views, {size} x {size} latents", unit="set"):
                sets.make(number)
        return 0
    if options.snapshot:
        denoiser, facts = snapshot(options.work / CHECKPOINT, denoiser)
    else:
        show = show_mean_pictures(vae, options.work)
        denoiser, facts = train_views(denoiser, vae, options.work, settings, show, options.compile)
    if options.until == "export":
        steps = facts["steps"]
        finest = FINE if settings.since_fine(steps) > 0 else COARSE
        denoiser.unet.register_to_config(sample_size=finest)
        before = json.loads((options.start / "training.json").read_text())
        sets = {f"sets_of_{size}_x_{size}": settings.sets_of(size, steps) for size in (COARSE, FINE)}
        data = {"views_per_object": N_VIEWS, **sets, "seed": settings.seed}
        export_multiview(
            denoiser,
            vae,
            options.out,
            {
                **origin_facts("cpu"),
                "data": data,
                "autoencoder": before["autoencoder"],
                "denoiser": {**facts, "before": before["denoiser"]},
            },
        )
        print(f"toybox.train: the model is in {options.out}; judge it with: python -m toybox.evaluate --multiview")
    return 0


def export_multiview(denoiser: ViewDenoiser, vae: AutoencoderKL, folder: Path, facts: dict) -> None:
    """Writes the parts in the diffusers layout; beside them `cameras.json`, which says how cameras are told, and the
    world's numbers, which recipes read from a model's own folder."""
    export(assemble(vae, denoiser), folder, facts)
    save_json(folder / "cameras.json", CONVENTION)
    shutil.copy(MODEL_FOLDER / "world.json", folder)


def load_multiview(folder: Path = MULTIVIEW_FOLDER) -> tuple[ViewDenoiser, AutoencoderKL]:
    """The denoiser and the autoencoder of an exported folder, in float32.

    Raises:
        ValueError: the folder holds no such model.
    """
    if not (folder / "cameras.json").exists():
        raise ValueError(f"{folder}: no cameras.json, so no multi-view model: see python -m toybox.train --multiview")
    pipeline = load_pipeline(folder)
    return ViewDenoiser(pipeline.tokenizer, pipeline.text_encoder, pipeline.unet).eval(), pipeline.vae


def show_mean_pictures(vae: AutoencoderKL, work: Path) -> Callable[[ViewDenoiser, int], None]:
    """Every so often: each kind's mean picture from all around, and what the judge says of others.

    A row of a kind on the sheet goes around it; a picture that does not turn with the camera has not learned it.
    """
    asked = view_requests(40, seen=True, seed=0)
    judge = load_judge()

    def mean(denoiser: ViewDenoiser, captions: list[str], views: list[View]) -> Tensor:
        made = [
            mean_pictures(denoiser, vae, captions[i : i + 32], views[i : i + 32], COARSE)
            for i in range(0, len(captions), 32)
        ]
        return torch.cat(made).clamp(0, 1)

    def show(denoiser: ViewDenoiser, step: int) -> None:
        colours, kinds = list(load_world().colours), list(load_world().kinds)
        captions = [Subject(kind, colours[i % 8]).caption() for i, kind in enumerate(kinds) for _ in AZIMUTHS_DEG]
        around = [View(SHEET_ELEVATION_DEG, float(azimuth), 1.6, 47.0) for azimuth in AZIMUTHS_DEG]
        made = mean(denoiser, captions, around * len(kinds))
        sheet(made, 2 * len(AZIMUTHS_DEG)).save(work / f"mean-{step:05d}.png")
        captions = [request.subject.caption() for request in asked for _ in request.views]
        verdicts = judge.verdicts(mean(denoiser, captions, [view for request in asked for view in request.views]))
        figures = judge_views(asked, [verdicts[i : i + N_VIEWS] for i in range(0, len(verdicts), N_VIEWS)])
        shares = ", ".join(f"{name} {figures[name]['share']:.3f}" for name in ("object", "colour", "azimuth"))
        tqdm.write(f"mean pictures at step {step}: {shares}", file=sys.stdout)

    return show


def _options(arguments: list[str]) -> argparse.Namespace:
    settings = ViewSettings()
    parser = argparse.ArgumentParser(
        prog="python -m toybox.train --multiview",
        description="Makes the bundled multi-view model; goes on where --work holds a training.",
    )
    work = Path(__file__).parent / ".work" / "multiview"
    parser.add_argument("--work", type=Path, default=work, help="data, checkpoints, sheets of mean pictures")
    parser.add_argument("--out", type=Path, default=MULTIVIEW_FOLDER, help="where the pipeline goes")
    parser.add_argument("--start", type=Path, default=MODEL_FOLDER, help="the model whose weights it begins with")
    parser.add_argument("--until", choices=STAGES, default="export", help="the last stage to run")
    parser.add_argument("--snapshot", action="store_true", help="export the last checkpoint's average as it is")
    parser.add_argument("--mean-steps", type=int, help=f"on the mean picture ({settings.mean_steps})")
    parser.add_argument("--coarse-steps", type=int, help=f"on 16 x 16 latents ({settings.coarse_steps})")
    parser.add_argument("--fine-steps", type=int, help=f"on 32 x 32 latents ({settings.fine_steps})")
    parser.add_argument("--most-sets", type=int, help=f"of data, {SET_PICTURES} views each ({settings.most_sets})")
    parser.add_argument("--seed", type=int, help=f"of all draws; another one gives other data ({settings.seed})")
    parser.add_argument("--compile", action=argparse.BooleanOptionalAction, default=True, help="wants a C++ compiler")
    parser.add_argument("--threads", type=int, help="CPU threads (torch's own choice by default)")
    return parser.parse_args(arguments)

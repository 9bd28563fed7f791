"""Makes the bundled model: data -> autoencoder -> denoiser -> export. Resumes after a kill at any time.

python -m toybox.train [--work FOLDER] [--out FOLDER] [--device auto|cpu|cuda] [--until STAGE] [--snapshot]
python -m toybox.train --start toybox/model --work NEW --steps 4000 --coarse 0    # train shipped weights further
"""

import argparse
import datetime
import json
import platform
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import diffusers
import numpy as np
import torch
import transformers

from toybox.autoencoder import AutoencoderSettings, train_autoencoder
from toybox.checkpoint import load_state, stage_facts
from toybox.data import BufferStore, render_buffers
from toybox.denoiser import Denoiser, DenoiserSettings, train_denoiser
from toybox.latents import AutoencoderKL, StableDiffusionPipeline, decode, encode
from toybox.pipeline import SHEET_CAPTIONS, assemble, export, generate, load_pipeline, sheet
from toybox.tokenizer import kept_tokenizer
from toybox.world import MODEL_FOLDER

STAGES = ("data", "vae", "denoiser", "export")
VIEWS_PER_KIND = 400
PICTURE_SIZE = 128
DATA_SEED = 1


def main(arguments: list[str] | None = None) -> int:
    """Runs the stages that are not done yet; returns the exit code."""
    options = _options(arguments)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.threads:
        torch.set_num_threads(options.threads)
    work: Path = options.work
    until = STAGES.index(options.until)
    render_buffers(work / "train", options.views, PICTURE_SIZE, DATA_SEED)
    if until < 1:
        return 0
    store = BufferStore(work / "train")
    start, earlier = _shipped(options.start) if options.start else (None, {})
    if start is None:
        vae_settings = replace(AutoencoderSettings(), steps=options.vae_steps)
        vae, vae_facts = train_autoencoder(store, work, vae_settings, device, show=_show_autoencoder(store, work))
    else:
        vae, vae_facts = start.vae, earlier["autoencoder"]
    if until < 2:
        return 0
    settings = replace(DenoiserSettings(), steps=options.steps, coarse=options.coarse)
    if options.snapshot:
        denoiser, facts = _snapshot(work)
    else:
        first = Denoiser.of(start) if start else None
        show = _show_denoiser(vae, work, settings)
        denoiser, facts = train_denoiser(store, vae, work, settings, device, show, first)
    if earlier:
        facts["before"] = earlier["denoiser"]
    if until < 3:
        return 0
    export(
        assemble(vae.cpu(), denoiser.cpu()),
        options.out,
        {
            "date": datetime.date.today().isoformat(),
            "hardware": _hardware(device),
            "versions": {
                "python": platform.python_version(),
                **{package.__name__: package.__version__ for package in (torch, diffusers, transformers)},
            },
            "data": {"views_per_kind": options.views, "size": PICTURE_SIZE, "seed": DATA_SEED},
            "autoencoder": vae_facts,
            "denoiser": facts,
        },
    )
    print(f"toybox.train: the model is in {options.out}; judge it with: python -m toybox.evaluate")
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m toybox.train", description="Makes the bundled model; resumes after a kill at any time."
    )
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / ".work", help="data and checkpoints")
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER, help="where the pipeline goes")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--until", choices=STAGES, default="export", help="the last stage to run")
    parser.add_argument("--snapshot", action="store_true", help="export the denoiser's last checkpoint as it is")
    parser.add_argument("--views", type=int, default=VIEWS_PER_KIND, help="views per kind of object")
    parser.add_argument("--vae-steps", type=int, default=AutoencoderSettings.steps, help="steps of the autoencoder")
    parser.add_argument("--steps", type=int, default=DenoiserSettings.steps, help="steps of the denoiser")
    parser.add_argument(
        "--coarse", type=float, default=DenoiserSettings.coarse, help="share of the steps at half the size"
    )
    parser.add_argument(
        "--start", type=Path, help="a model to train further (its autoencoder stays); wants a new --work"
    )
    parser.add_argument("--threads", type=int, help="CPU threads (torch's own choice by default)")
    return parser.parse_args(arguments)


def _hardware(device: str) -> str:
    if device == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU, {torch.get_num_threads()} threads, {platform.machine()}"


def _shipped(folder: Path) -> tuple[StableDiffusionPipeline, dict]:
    return load_pipeline(folder), json.loads((folder / "training.json").read_text())


def _snapshot(work: Path) -> tuple[Denoiser, dict]:
    saved = load_state(work / "denoiser.pt")
    if saved is None:
        sys.exit(f"toybox.train: {work / 'denoiser.pt'}: no checkpoint yet; run without --snapshot first")
    denoiser = Denoiser(kept_tokenizer(work / "tokenizer")).eval()
    denoiser.load_state_dict(saved["average"])
    return denoiser, stage_facts(saved["step"], saved["history"], saved["seconds"], saved["losses"])


def _show_autoencoder(store: BufferStore, work: Path) -> Callable[[AutoencoderKL, int], None]:
    """Every so often: originals above their reconstructions."""
    pictures = store.draw(np.random.default_rng(5), 8, PICTURE_SIZE).pictures

    @torch.no_grad()
    def show(vae: AutoencoderKL, step: int) -> None:
        made = decode(vae, encode(vae, pictures.to(vae.device))).cpu()
        sheet(torch.cat([pictures, made]), 8).save(work / f"vae-{step:05d}.png")

    return show


def _show_denoiser(vae: AutoencoderKL, work: Path, settings: DenoiserSettings) -> Callable[[Denoiser, int], None]:
    """Every so often: what the averaged weights draw."""

    def show(denoiser: Denoiser, step: int) -> None:
        size = PICTURE_SIZE if step > settings.coarse * settings.steps else PICTURE_SIZE // 2
        made = generate(assemble(vae, denoiser), list(SHEET_CAPTIONS), seed=0, size=size)
        sheet(made, 4).save(work / f"denoiser-{step:05d}.png")

    return show


if __name__ == "__main__":
    sys.exit(main())

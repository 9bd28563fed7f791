"""Makes the bundled model: data -> autoencoder -> denoiser -> export. Resumes after a kill at any time.

python -m toybox.train [--work FOLDER] [--out FOLDER] [--device auto|cpu|cuda] [--until STAGE] [--snapshot]
python -m toybox.train --resume [--steps 4000]    # go on in --work, or from the shipped weights where nothing has begun
python -m toybox.train --multiview    # the model that is told its cameras, from the bundled model's weights
python -m toybox.train --control      # the ControlNet that shows the bundled model depth
"""

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toybox.autoencoder import AutoencoderSettings, train_autoencoder
from toybox.beginnings import earlier_model, has_begun, kept_settings
from toybox.control_command import train_control_net
from toybox.data import BufferStore, render_buffers
from toybox.denoiser import CHECKPOINT, Denoiser, DenoiserSettings, train_denoiser
from toybox.latents import AutoencoderKL, StableDiffusionPipeline, decode, encode
from toybox.learning import snapshot
from toybox.origins import origin_facts
from toybox.pipeline import SHEET_CAPTIONS, assemble, export, generate, sheet
from toybox.tokenizer import kept_tokenizer
from toybox.view_command import train_multiview
from toybox.world import MODEL_FOLDER

STAGES = ("data", "vae", "denoiser", "export")
VIEWS_PER_KIND = 400
PICTURE_SIZE = 128
DATA_SEED = 1


def main(arguments: list[str] | None = None) -> int:
    """Runs the stages that are not done yet; returns the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if "--multiview" in arguments:
        return train_multiview([argument for argument in arguments if argument != "--multiview"])
    if "--control" in arguments:
        return train_control_net([argument for argument in arguments if argument != "--control"])
    options = _options(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    until = STAGES.index(options.until)
    start = options.start
    if options.resume and not has_begun(options.work):
        start = start or MODEL_FOLDER
    try:
        render_buffers(options.work / "train", options.views, PICTURE_SIZE, DATA_SEED)
        earlier = earlier_model(options.work, start) if until >= STAGES.index("vae") else None
    except ValueError as refusal:
        sys.exit(f"toybox.train: {refusal}")
    if until < STAGES.index("vae"):
        return 0
    store = BufferStore(options.work / "train")
    vae, vae_facts = (earlier[0].vae, earlier[1]["autoencoder"]) if earlier else _autoencoder(options, store)
    if until < STAGES.index("denoiser"):
        return 0
    if options.snapshot:
        denoiser, facts = snapshot(options.work / CHECKPOINT, Denoiser(kept_tokenizer(options.work / "tokenizer")))
    else:
        denoiser, facts = _denoiser(options, store, vae, earlier)
    if earlier:
        facts["before"] = earlier[1]["denoiser"]
    if until < STAGES.index("export"):
        return 0
    export(assemble(vae.cpu(), denoiser.cpu()), options.out, _facts(options, vae_facts, facts))
    print(f"toybox.train: the model is in {options.out}; judge it with: python -m toybox.evaluate")
    return 0


def _autoencoder(options: argparse.Namespace, store: BufferStore) -> tuple[AutoencoderKL, dict]:
    settings = AutoencoderSettings()
    if options.resume:
        settings = kept_settings(options.work / "vae.pt", settings)
    settings = replace(settings, **_given(steps=options.vae_steps))
    return train_autoencoder(store, options.work, settings, options.device, _show_autoencoder(store, options.work))


def _denoiser(
    options: argparse.Namespace,
    store: BufferStore,
    vae: AutoencoderKL,
    earlier: tuple[StableDiffusionPipeline, dict] | None,
) -> tuple[Denoiser, dict]:
    # weights that were trained before have seen their small pictures
    settings = DenoiserSettings(coarse=0.0) if earlier else DenoiserSettings()
    if options.resume:
        settings = kept_settings(options.work / "denoiser.pt", settings)
    settings = replace(settings, **_given(steps=options.steps, coarse=options.coarse))
    first = Denoiser.of(earlier[0]) if earlier else None
    show = _show_denoiser(vae, options.work, settings)
    return train_denoiser(store, vae, options.work, settings, options.device, show, first)


def _given(**values: float | None) -> dict[str, Any]:
    """Those of the command line's settings that it names."""
    return {name: value for name, value in values.items() if value is not None}


def _facts(options: argparse.Namespace, autoencoder: dict, denoiser: dict) -> dict:
    """What the model card tells of how the model was made."""
    return {
        **origin_facts(options.device),
        "data": {"views_per_kind": options.views, "size": PICTURE_SIZE, "seed": DATA_SEED},
        "autoencoder": autoencoder,
        "denoiser": denoiser,
    }


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m toybox.train", description="Makes the bundled model; resumes after a kill at any time."
    )
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / ".work", help="data and checkpoints")
    parser.add_argument("--out", type=Path, default=MODEL_FOLDER, help="where the pipeline goes")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--until", choices=STAGES, default="export", help="the last stage to run")
    parser.add_argument("--snapshot", action="store_true", help="export the denoiser's last checkpoint as it is")
    parser.add_argument("--views", type=int, default=VIEWS_PER_KIND, help="views per kind of object")
    parser.add_argument("--vae-steps", type=int, help=f"of the autoencoder ({AutoencoderSettings.steps} by default)")
    parser.add_argument("--steps", type=int, help=f"of the denoiser, in all ({DenoiserSettings.steps} by default)")
    parser.add_argument(
        "--coarse", type=float, help=f"share of --steps at half the size ({DenoiserSettings.coarse}; 0 after --start)"
    )
    parser.add_argument(
        "--start", type=Path, help="a model to train further (its autoencoder stays); wants a new --work"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help=f"go on in --work, with its settings; where nothing has begun there, from --start ({MODEL_FOLDER})",
    )
    parser.add_argument("--threads", type=int, help="CPU threads (torch's own choice by default)")
    options = parser.parse_args(arguments)
    if options.device == "auto":
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    return options


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

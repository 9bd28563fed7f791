"""Which parts of a fixed colour does the bundled model itself draw, when it is shown where they belong?

    python -m benchmarks.drawn_parts [--quick]

Pictures of the painting benchmark's objects, in their true colours, get some noise and are drawn anew by the model,
each with its view word (SDEdit: Meng et al., arXiv:2108.01073; diffusers' image-to-image pipeline). With little noise
the true parts come back; the more noise, the more is the model's own idea of them. A painting that this model teaches
begins without the true parts.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from app.machine import Device, resolve_device
from benchmarks.canonical import canonical_views
from benchmarks.command import Report, benchmark_parser, resolve_threads, run_benchmark
from benchmarks.paint import SUBJECTS
from benchmarks.part_colours import part_colours
from benchmarks.verdicts import judged_cameras
from core.cameras import ViewBins, view_names
from core.types import Cameras
from guidance.model_source import find_model
from guidance.prompts import view_prompts
from guidance.training_distribution import read_training_distribution
from toybox.captions import Subject

DESCRIPTION = "Count the parts of a fixed colour that the bundled model draws by itself."
#: Shares of the model's noise that the true pictures get, and draws of each.
STRENGTHS, N_DRAWS = (0.2, 0.4, 0.6, 0.8), 3
GUIDANCE_SCALE, N_STEPS = 4.0, 25


@dataclass(frozen=True)
class DrawnParts:
    """What was counted of one object."""

    prompt: str
    n_fixed: int
    """Parts of a colour of their own that are large enough to be seen."""
    right: dict[str, float]
    """Those drawn nearer to their own colour than to the main one, by the share of noise; mean over the draws."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark and give the exit code."""
    quick = "one object instead of twelve"
    parser = benchmark_parser("drawn_parts", DESCRIPTION, None, work="drawn-parts", quick=quick)
    return run_benchmark(_run, parser.parse_intermixed_args(arguments))


def _run(options: argparse.Namespace) -> Report:
    resolve_threads()
    pipeline = model_pipeline(resolve_device(options.device))
    world = read_training_distribution(find_model("toybox").folder)
    assert world is not None, "the bundled model says what it was trained to see"
    cameras = judged_cameras(picture_size(pipeline))
    subjects = SUBJECTS[: 1 if options.quick else None]
    drawn = [
        _drawn(pipeline, subject, cameras, world.view_bins) for subject in tqdm(subjects, unit="object", disable=None)
    ]
    totals = {f"{share:g}": round(sum(one.right[f"{share:g}"] for one in drawn), 2) for share in STRENGTHS}
    n_fixed = sum(one.n_fixed for one in drawn)
    told = ", ".join(f"{total:.1f} from {share} noise" for share, total in totals.items())
    return Report(
        "drawn-parts",
        whole=not options.quick,
        figures={"n_fixed": n_fixed, "right": totals, "objects": [asdict(one) for one in drawn]},
        text=f"of {n_fixed} parts of a fixed colour the model draws {told}",
    )


def model_pipeline(device: Device) -> Any:
    """The bundled model as diffusers' image-to-image pipeline."""
    from diffusers.pipelines.stable_diffusion import pipeline_stable_diffusion_img2img as image_to_image
    from diffusers.utils import logging

    logging.disable_progress_bar()
    pipeline = image_to_image.StableDiffusionImg2ImgPipeline.from_pretrained(
        find_model("toybox").address, dtype=torch.float32
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(device)


def picture_size(pipeline: Any) -> int:
    """Height and width of the pictures that it draws, in pixels."""
    return pipeline.unet.config.sample_size * pipeline.vae_scale_factor


def _drawn(pipeline: Any, subject: Subject, cameras: Cameras, bins: ViewBins) -> DrawnParts:
    true, _ = canonical_views(subject, cameras)
    words = view_prompts(subject.caption(), lambda _: True)
    prompts = [words[name] for name in view_names(cameras, bins)]
    n_fixed = part_colours(subject, cameras, true).n_fixed
    right = dict.fromkeys((f"{share:g}" for share in STRENGTHS), 0.0)
    for share in STRENGTHS if n_fixed else ():
        draws = [redrawn(pipeline, true, prompts, share, seed) for seed in range(N_DRAWS)]
        right[f"{share:g}"] = fmean(part_colours(subject, cameras, pictures).n_fixed_right for pictures in draws)
    return DrawnParts(subject.caption(), n_fixed, right)


def redrawn(
    pipeline: Any, pictures: Float[Tensor, "views size size 3"], prompts: list[str], share: float, seed: int
) -> Float[Tensor, "views size size 3"]:
    """The pictures after they got a share of the model's noise and the model took it off again.

    Args:
        pipeline: a StableDiffusionImg2ImgPipeline.
    """
    drawn = pipeline(
        prompt=prompts,
        image=pictures.movedim(-1, 1),
        strength=share,
        num_inference_steps=N_STEPS,
        guidance_scale=GUIDANCE_SCALE,
        generator=torch.Generator().manual_seed(seed),
        output_type="pt",
    )
    return drawn.images.movedim(1, -1).float().cpu()


if __name__ == "__main__":
    sys.exit(main())

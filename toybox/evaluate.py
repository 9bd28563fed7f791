"""Judges the bundled model and writes its card: python -m toybox.evaluate [--quick] [--model FOLDER]

Pictures are made once, from fixed captions and seeds; none is chosen or drawn again.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from toybox.captions import Subject, subjects
from toybox.card import write_card
from toybox.data import Batch, BufferStore, repaint
from toybox.judge import Verdict, load_judge
from toybox.latents import AutoencoderKL, StableDiffusionPipeline, decode, encode
from toybox.networks import DOWNSCALE
from toybox.pipeline import generate, load_pipeline, sheet
from toybox.world import MODEL_FOLDER, load_world

SEED = 2024
SDS_PROMPTS = 8


@dataclass(frozen=True)
class Request:
    """A picture to be asked for."""

    subject: Subject
    word: str
    seen: bool

    @property
    def caption(self) -> str:
        """The text given to the model."""
        return self.subject.caption(self.word)


def requests(count: int, seen: bool) -> list[Request]:
    """`count` requests of one named colour each, balanced over kinds, view words and (as pairs allow) colours."""
    world = load_world()
    pools = {kind: [s for s in subjects(seen) if s.kind == kind and s.second is None] for kind in world.kinds}
    kinds = [kind for kind in world.kinds if pools[kind]]
    used = dict.fromkeys(world.colours, 0)
    words = world.view_words
    asked: list[Request] = []
    for number in range(count):
        turn, place = divmod(number, len(kinds))
        pool = pools[kinds[place]]
        met = [sum(request.subject == subject for request in asked) for subject in pool]
        subject = min(zip(pool, met, strict=True), key=lambda pair: (pair[1], used[pair[0].main]))[0]
        used[subject.main] += 1
        word = words[(place + turn) % len(words)]  # each kind meets every word in turn
        asked.append(Request(subject, word, seen))
    return asked


def interval(right: Sequence[bool]) -> dict[str, float | int]:
    """Share of the right ones with Wilson's 95% interval."""
    count, share, z = len(right), float(np.mean(right)), 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return {"share": round(share, 4), "low": round(middle - half, 4), "high": round(middle + half, 4), "count": count}


def judge_pictures(asked: list[Request], verdicts: list[Verdict]) -> dict[str, dict]:
    """Shares of pictures in which object, colour and view are what was asked for."""
    world = load_world()
    pairs = list(zip(asked, verdicts, strict=True))
    placed = [
        world.view_word(0.0, verdict.azimuth_deg) == request.word
        for request, verdict in pairs
        if world.kinds[request.subject.kind].front and request.word in ("front", "side", "back")
    ]
    by_kind = {
        kind: round(float(np.mean([v.kind == kind for r, v in pairs if r.subject.kind == kind])), 3)
        for kind in world.kinds
        if any(r.subject.kind == kind for r, _ in pairs)
    }
    return {
        "object_seen": interval([v.kind == r.subject.kind for r, v in pairs if r.seen]),
        "object_unseen": interval([v.kind == r.subject.kind for r, v in pairs if not r.seen]),
        "colour": interval([v.main == r.subject.main for r, v in pairs]),
        "view": interval(placed),
        "object_by_kind": by_kind,
    }


def psnr(made: Tensor, true: Tensor, mask: Tensor) -> float:
    """Peak signal-to-noise ratio in dB over masked pixels of pictures in 0..1."""
    squared = ((made.clamp(0, 1) - true) ** 2 * mask).sum() / (mask.sum() * made.shape[1])
    return float(-10 * torch.log10(squared))


@torch.no_grad()
def judge_autoencoder(vae: AutoencoderKL, batch: Batch) -> dict[str, float]:
    """PSNR on object pixels: plain, and of object latents laid over the latents of another flat background."""
    order = torch.arange(len(batch.pictures)).roll(1)
    others = batch.backgrounds[order]
    true = repaint(batch, others)
    flat = others[:, :, None, None].expand_as(true)
    ours, ground = (encode(vae, pictures) for pictures in (batch.pictures, flat))
    cover = F.avg_pool2d(batch.coverage, DOWNSCALE)
    plain, mixed = (decode(vae, z) for z in (ours, cover * ours + (1 - cover) * ground))
    mask = (batch.coverage > 0.5).float()
    return {
        "object_psnr_db": round(psnr(plain, batch.pictures, mask), 2),
        "composited_psnr_db": round(psnr(mixed, true, mask), 2),
    }


def distil_pictures(
    pipeline: StableDiffusionPipeline, captions: list[str], steps: int, seed: int, guidance: float = 10.0
) -> Tensor:
    """Score distillation on free latents from noise: the score alone, without any 3D.

    Follows METHOD.md section 2: g = sigma^2 (eps_hat - eps), t from U[0.02, ceiling], ceiling 0.98 -> 0.5.

    Returns:
        Decoded pictures [captions, 3, height, width] in 0..1.
    """
    rng = torch.Generator().manual_seed(seed)
    size, total = pipeline.unet.config.sample_size, pipeline.scheduler.config.num_train_timesteps
    text, empty = pipeline.encode_prompt(captions, "cpu", 1, True)
    both = torch.cat([empty, text])
    latents = torch.randn(len(captions), pipeline.unet.config.in_channels, size, size, generator=rng)
    latents.requires_grad_(True)
    optimiser = torch.optim.Adam([latents], lr=0.1, betas=(0.9, 0.99))
    signal = pipeline.scheduler.alphas_cumprod
    for step in tqdm(range(steps), desc="score distillation on free latents", unit="step", mininterval=5):
        ceiling = 0.98 + (0.5 - 0.98) * min(1.0, step / (0.7 * steps))
        share = 0.02 + (ceiling - 0.02) * torch.rand(len(captions), generator=rng)
        timestep = (share * total).long()
        noise = torch.randn(latents.shape, generator=rng)
        alpha, sigma = (part[timestep, None, None, None].sqrt() for part in (signal, 1 - signal))
        noisy = alpha * latents.detach() + sigma * noise
        with torch.no_grad():
            velocity = pipeline.unet(noisy.repeat(2, 1, 1, 1), timestep.repeat(2), encoder_hidden_states=both).sample
        without, given = (alpha * part + sigma * noisy for part in velocity.chunk(2))
        gradient = sigma**2 * (without + guidance * (given - without) - noise)
        optimiser.zero_grad()
        latents.grad = gradient
        optimiser.step()
    with torch.no_grad():
        return decode(pipeline.vae, latents).clamp(0, 1)


def main(arguments: list[str] | None = None) -> int:
    """Measures, writes `evaluation.json`, the contact sheet and the model card; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m toybox.evaluate", description="Judges the bundled model and writes its card."
    )
    parser.add_argument("--work", type=Path, default=Path(__file__).parent / ".work", help="where test buffers are")
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER)
    parser.add_argument("--quick", action="store_true", help="a tenth of the pictures; the card stays as it is")
    options = parser.parse_args(arguments)
    pipeline, judge, started = load_pipeline(options.model), load_judge(), time.monotonic()
    shrink = 10 if options.quick else 1
    asked = requests(400 // shrink, seen=True) + requests(200 // shrink, seen=False)
    made = []
    for first in tqdm(range(0, len(asked), 20), desc="pictures", unit="batch"):
        captions = [request.caption for request in asked[first : first + 20]]
        made.append(generate(pipeline, captions, seed=SEED + first))
    pictures = torch.cat(made)
    figures: dict = judge_pictures(asked, judge.verdicts(pictures))
    store = BufferStore(options.work / "judge-test")
    batch = store.draw(np.random.default_rng(SEED), 128 // shrink, pictures.shape[-1])
    figures["autoencoder"] = judge_autoencoder(pipeline.vae, batch)
    wanted = [request for request in asked if request.word != "bottom"][:: max(1, 60 // shrink)][:SDS_PROMPTS]
    distilled = distil_pictures(pipeline, [request.caption for request in wanted], 400 // shrink, SEED)
    named = [v.kind == r.subject.kind for r, v in zip(wanted, judge.verdicts(distilled), strict=True)]
    figures["distilled_2d"] = {"named": sum(named), "of": len(named), "captions": [r.caption for r in wanted]}
    figures["seconds"] = round(time.monotonic() - started)
    print(json.dumps(figures, indent=2))
    options.work.mkdir(parents=True, exist_ok=True)
    sheet(distilled, 4).save(options.work / "distilled.png")
    if not options.quick:
        _publish(options.model, figures, asked, pictures)
    return 0


def _publish(model: Path, figures: dict, asked: list[Request], pictures: Tensor) -> None:
    (model / "evaluation.json").write_text(json.dumps(figures, indent=2) + "\n")
    unseen = next(index for index, request in enumerate(asked) if not request.seen)
    shown = [*range(40), *range(unseen, unseen + 8)]
    picture: Image.Image = sheet(pictures[shown], 8)
    picture.save(Path(__file__).parent / "contact-sheet.png", optimize=True)
    write_card(model, [asked[index].caption for index in shown])


if __name__ == "__main__":
    sys.exit(main())

"""Trains and tests the judge on its own renders: python -m toybox.judge.train [--work FOLDER] [--further]

Other views, lights and seeds than the diffusion models saw, all pairs of objects and colours, and its pictures blurred,
noised, re-coloured and sent through the autoencoder.
"""

import argparse
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toybox.buffers import View
from toybox.captions import Subject, draw_subject
from toybox.checkpoint import cosine_rate, load_state, save_state, settings_since, steps
from toybox.data import BufferStore, FreshViews, ViewSource, paint_subjects, render_buffers
from toybox.judge.exam import Exam, Marks
from toybox.judge.network import (
    FOLDER,
    NOTHING,
    OWN,
    SIZE,
    Judge,
    colour_classes,
    directions_deg,
    load_judge,
    object_classes,
)
from toybox.judge.spoil import spoil, weather
from toybox.latents import AutoencoderKL, decode, diffusers, encode
from toybox.precision import quick_autocast
from toybox.world import MODEL_FOLDER, load_world

DATA_SEED = 6
EXAM_SEED = 4
SAVE_EVERY = 200
SHARPNESS = 20.0  # of the right answer's spread over directions: 13 degrees, less than one step of them


@dataclass(frozen=True)
class JudgeSettings:
    """How the judge is trained; `spoiled` is the share of pictures that show no whole object.

    Every `round_trip_every`-th batch is sent through the autoencoder. The azimuth needs many views: trained on
    160 of a kind, the judge was right on 97% of these but on 85% of new ones; trained on 640, on 93% of new ones.
    """

    steps: int = 9000
    batch: int = 64
    rate: float = 2e-3
    views: int = 2000
    spoiled: float = 0.2
    round_trip_every: int = 20
    seed: int = 101


def any_light(rng: np.random.Generator, count: int) -> Tensor:
    """Lamps from anywhere above the horizon, [count, 3]; training's lamp is only one of them."""
    toward = rng.standard_normal((count, 3))
    toward[:, 1] = np.abs(toward[:, 1]) + 0.3
    return F.normalize(torch.from_numpy(toward).float(), dim=-1)


def any_subject(rng: np.random.Generator, kind: str) -> Subject:
    """A subject of this kind in any colours, seen or held out."""
    return draw_subject(rng, kind, seen=bool(rng.random() < 0.85))


def set_exam(
    store: ViewSource, rng: np.random.Generator, count: int, spoiled_share: float, vae: AutoencoderKL | None = None
) -> Exam:
    """`count` pictures with their answers, a share of them spoiled; with `vae`, all are sent through it."""
    kinds = [store.kinds[i] for i in rng.integers(len(store.kinds), size=count)]
    spoiled = rng.random(count) < spoiled_share
    buffers, views = [], []
    for kind, bad in zip(kinds, spoiled, strict=True):
        parts, normals, view = store.pick(rng, kind, SIZE)
        if bad:
            other = store.kinds[(store.kinds.index(kind) + rng.integers(1, len(store.kinds))) % len(store.kinds)]
            parts, normals = spoil(rng, (parts, normals), store.pick(rng, other, SIZE)[:2])
        buffers.append((parts, normals))
        views.append(view)
    subjects = [any_subject(rng, kind) for kind in kinds]
    pictures, _, _ = paint_subjects(buffers, subjects, rng, any_light(rng, count))
    if vae:
        pictures = round_trips(vae, pictures)
    return _answers(pictures, kinds, spoiled, subjects, views)


def _answers(
    pictures: Tensor, kinds: list[str], spoiled: np.ndarray, subjects: list[Subject], views: list[View]
) -> Exam:
    objects, colours = object_classes(), colour_classes()
    azimuth = torch.tensor([view.azimuth_deg for view in views]).deg2rad()
    named = [NOTHING if bad else kind for kind, bad in zip(kinds, spoiled, strict=True)]
    return Exam(
        pictures=pictures,
        kind=torch.tensor([objects.index(name) for name in named]),
        main=torch.tensor([colours.index(subject.main) for subject in subjects]),
        second=torch.tensor([colours.index(subject.second or OWN) for subject in subjects]),
        azimuth=torch.stack([azimuth.sin(), azimuth.cos()], dim=1),
        elevation_deg=torch.tensor([view.elevation_deg for view in views]),
        has_front=torch.tensor([name != NOTHING and load_world().kinds[name].front for name in named]),
    )


def judge_loss(judge: Judge, pictures: Tensor, exam: Exam) -> Tensor:
    """Cross-entropies of the three names, and of the azimuth's directions where it has a meaning."""
    logits = judge(pictures)
    whole = exam.kind != object_classes().index(NOTHING)
    loss = F.cross_entropy(logits["kind"], exam.kind, label_smoothing=0.02)
    for head, answers in (("main", exam.main), ("second", exam.second)):
        loss = loss + F.cross_entropy(logits[head][whole], answers[whole])
    shares = direction_shares(exam.azimuth[exam.has_front])
    return loss + 0.5 * F.cross_entropy(logits["azimuth"][exam.has_front], shares)


def direction_shares(azimuth: Tensor) -> Tensor:
    """What the azimuth head should answer: a von Mises density around (sin, cos) [batch, 2] over its directions."""
    angles = directions_deg().deg2rad()
    return (SHARPNESS * azimuth @ torch.stack([angles.sin(), angles.cos()])).softmax(dim=1)


@torch.no_grad()
def round_trips(vae: AutoencoderKL, pictures: Tensor) -> Tensor:
    """What the autoencoder makes of pictures [batch, 3, height, width] in 0..1."""
    with quick_autocast("cpu"):
        return decode(vae, encode(vae, pictures)).clamp(0, 1)


def train_judge(
    store: ViewSource, vae: AutoencoderKL, work: Path, settings: JudgeSettings, further: bool = False
) -> tuple[Judge, dict]:
    """Trains, or goes on training, the judge; returns it with its settings so far and its last mean loss.

    Args:
        further: begin with the shipped judge's weights; a checkpoint in `work` goes before them.
    """
    torch.manual_seed(settings.seed)
    judge = Judge()
    optimiser = torch.optim.AdamW(judge.parameters(), lr=settings.rate, weight_decay=1e-3)
    saved = load_state(work / "judge.pt")
    before = json.loads((FOLDER / "judge.json").read_text())["history"] if further else []
    history = settings_since(saved, asdict(settings))
    first, losses = 0, []
    if saved:
        judge.load_state_dict(saved["judge"])
        optimiser.load_state_dict(saved["optimiser"])
        first, losses, before = saved["step"], saved["losses"], saved["before"]
    elif further:
        judge.load_state_dict(load_judge().state_dict())
    for step, bar in steps("judge", first, settings.steps):
        for group in optimiser.param_groups:
            group["lr"] = cosine_rate(step, settings.steps, settings.rate, warmup=50)
        rng = torch.Generator().manual_seed(settings.seed * 10**6 + step)
        draws = np.random.default_rng((settings.seed, step))
        through = vae if step % settings.round_trip_every == 0 else None
        exam = set_exam(store, draws, settings.batch, settings.spoiled, through)
        with quick_autocast("cpu"):
            loss = judge_loss(judge, weather(exam.pictures, rng), exam)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(judge.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        bar.set_postfix(loss=f"{np.mean(losses[-100:]):.3f}", refresh=False)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == settings.steps:
            state = {"judge": judge.state_dict(), "optimiser": optimiser.state_dict(), "before": before}
            save_state(work / "judge.pt", {**state, "step": step + 1, "losses": losses, "history": history})
    facts = {"history": [*before, *history], "loss": float(np.mean(losses[-100:]))}
    return judge.eval().requires_grad_(False), facts


def examine(judge: Judge, store: ViewSource, seed: int, count: int = 5000) -> dict:
    """The judge's marks on unspoiled pictures of `store`, its recall of NOTHING on spoiled ones, and marks per word.

    Returns:
        Shares of right answers; `azimuth` (within 30 degrees) over the kinds with a front, `view` over those of their
        pictures that are a front, side or back view, `by_kind` of the objects, `by_colour` of the main colours,
        `by_view` of the objects seen from there.
    """
    marks = Marks()
    for chunk in range(count // 100):
        exam = set_exam(store, np.random.default_rng((seed, chunk)), 100, spoiled_share=0.0)
        for row, verdict in enumerate(judge.verdicts(exam.pictures)):
            marks.note(exam, row, verdict)
        exam = set_exam(store, np.random.default_rng((seed, chunk, 1)), 30, spoiled_share=1.0)
        marks.right["nothing"] += [verdict.kind == NOTHING for verdict in judge.verdicts(exam.pictures)]
    return marks.shares()


def main(arguments: list[str] | None = None) -> int:
    """Renders, trains, examines, saves; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m toybox.judge.train", description="Trains and tests the judge.")
    parser.add_argument("--work", type=Path, default=Path(__file__).parents[1] / ".work", help="data and checkpoints")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the judge goes")
    parser.add_argument("--steps", type=int, default=JudgeSettings.steps)
    parser.add_argument("--rate", type=float, default=JudgeSettings.rate, help="highest learning rate")
    parser.add_argument("--views", type=int, default=JudgeSettings.views, help="views per kind of object")
    parser.add_argument("--further", action="store_true", help="begin with the shipped judge's weights")
    options = parser.parse_args(arguments)
    settings = JudgeSettings(steps=options.steps, views=options.views, rate=options.rate)
    started = time.monotonic()
    try:
        render_buffers(options.work / "judge", settings.views, SIZE, DATA_SEED)
    except ValueError as refusal:
        sys.exit(f"toybox.judge.train: {refusal}")
    vae = diffusers.AutoencoderKL.from_pretrained(MODEL_FOLDER / "vae", local_files_only=True).requires_grad_(False)
    judge, facts = train_judge(BufferStore(options.work / "judge"), vae, options.work, settings, options.further)
    marks = examine(judge, FreshViews(), EXAM_SEED)
    facts |= {"marks": marks, "last_run_s": round(time.monotonic() - started)}
    options.out.mkdir(parents=True, exist_ok=True)
    judge.save(options.out, facts)
    print(json.dumps(marks, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

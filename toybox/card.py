"""The model card, `toybox/README.md`, written from the files that training, judging and evaluation leave."""

import json
from itertools import pairwise
from pathlib import Path

from toybox.captions import subjects
from toybox.judge.network import FOLDER as JUDGE_FOLDER
from toybox.world import load_world

CARD = Path(__file__).parent / "README.md"

FLOORS = (
    ("object named right, seen pairs", "object_seen", 0.95),
    ("object named right, unseen pairs", "object_unseen", 0.88),
    ("main colour named right", "colour", 0.95),
    ("view word obeyed (front, side, back; kinds with a front)", "view", 0.85),
)
PSNR_FLOOR_DB, LOSS_FLOOR_DB = 27, 2
DISTILLED_FLOOR = 7
GOING_ON = """To go on: `python -m toybox.train --resume --steps 4000` trains these weights for 4000 more steps. If
`--work` holds a training, that one continues from its last checkpoint, with its own settings, and `--steps` counts from
its first step.
`python -m toybox.evaluate` then measures, and writes this card anew."""


def _rows(figures: dict) -> str:
    lines = [
        "| measured on 600 pictures | share | 95% interval | pictures | floor | met |",
        "|---|---|---|---|---|---|",
    ]
    for title, key, floor in FLOORS:
        f = figures[key]
        met = _yes(f["share"] >= floor)
        band = f"{100 * f['low']:.1f} - {100 * f['high']:.1f}%"
        lines.append(f"| {title} | {100 * f['share']:.1f}% | {band} | {f['count']} | {100 * floor:.0f}% | {met} |")
    return "\n".join(lines)


def _autoencoder(figures: dict) -> str:
    plain, mixed = (figures["autoencoder"][name] for name in ("object_psnr_db", "composited_psnr_db"))
    lost = round(plain - mixed, 2)
    return f"""| autoencoder, on object pixels of pictures it never saw | PSNR | floor | met |
|---|---|---|---|
| alone | {plain:.2f} dB | {PSNR_FLOOR_DB} dB | {_yes(plain >= PSNR_FLOOR_DB)} |
| object latents laid over each other background's latents | {mixed:.2f} dB, {lost:.2f} below | \
at most {LOSS_FLOOR_DB} below | {_yes(lost <= LOSS_FLOOR_DB)} |"""


def _yes(met: bool) -> str:
    return "yes" if met else "no"


def _in_order(facts: dict) -> list[dict]:
    """A stage's trainings, the first one first: one may have started from another's weights."""
    return [*(_in_order(facts["before"]) if "before" in facts else []), facts]


def training_part(facts: dict, command: str) -> str:
    """How a model was made, for its card.

    Args:
        facts: what its `training.json` holds.
    """
    known = [name for name in ("autoencoder", "denoiser", "ControlNet") if name in facts]
    named = [(name, part) for name in known for part in _in_order(facts[name])]
    stages = "\n".join(f"| {n} | {s['steps']} | {s['seconds'] / 60:.0f} | {s['loss']:.4f} |" for n, s in named)
    settings = json.dumps([{"stage": name, "settings": stage["history"]} for name, stage in named], indent=2)
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    data = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in facts["data"].items())
    return f"""Made on {facts["date"]} by `{command}` on: {facts["hardware"]} ({versions}).
Data: {data}; colours, light and background are drawn anew for every picture or batch. Minutes are wall-clock; other
work shared the machine.

| stage | steps | minutes | last mean loss |
|---|---|---|---|
{stages}

Settings, each from the step at which it took effect:

```json
{settings}
```"""


def _held_out(share: float) -> str:
    unseen = subjects(seen=False)
    triples = [sum(s.second is not None for s in pool) for pool in (unseen, subjects(seen=True))]
    whole = f"{100 * triples[0] / sum(triples):.1f}%"
    own = f"{100 * share:.0f}%"
    return f"""{own} of the (object, main colour) pairs never occurred in training, with or without a second colour;
  nor did {own} of the (object, main, second colour) triples of the other pairs. In all, {whole} of the triples never
  occurred (`toybox/captions.py`)."""


def judge_steps(facts: dict) -> int:
    """Steps that the judge has been trained in all; a training that went on from shipped weights counts from 0 again.

    Args:
        facts: what `judge.json` holds.
    """
    parts = [*facts["history"], {"from_step": 0}]
    return sum(part["settings"]["steps"] for part, following in pairwise(parts) if following["from_step"] == 0)


def _judge(facts: dict, figures: dict) -> str:
    marks = facts["marks"]
    heads = ", ".join(f"{name} {100 * share:.1f}%" for name, share in marks.items() if not isinstance(share, dict))
    words = "; ".join(
        f"{name.replace('_', ' ')}: {', '.join(f'{word} {100 * share:.1f}%' for word, share in shares.items())}"
        for name, shares in marks.items()
        if isinstance(shares, dict)
    )
    n_steps = judge_steps(facts)
    older = "" if figures.get("judge_steps") == n_steps else " The figures above are by an earlier state of it."
    return (
        f"The judge ({n_steps} steps, `python -m toybox.judge.train`) on renders it was not trained on, all "
        f"elevations: {heads}. ('second' tells the second part's named colour, or that none is named.) Of these, "
        f"worst first: {words}.{older}"
    )


def write_card(model: Path, captions: list[str]) -> None:
    """Writes the card of the model in this folder.

    Args:
        captions: of the contact sheet's pictures, in rows of eight.
    """
    world = load_world()
    facts, figures = (json.loads((model / f"{name}.json").read_text()) for name in ("training", "evaluation"))
    judge = json.loads((JUDGE_FOLDER / "judge.json").read_text())
    weakest = sorted(figures["object_by_kind"].items(), key=lambda item: item[1])[:4]
    distilled = figures["distilled_2d"]
    legend = "\n".join(f"{row // 8 + 1}. {'; '.join(captions[row : row + 8])}" for row in range(0, len(captions), 8))
    seconds = ", ".join(f"{name} ({kind.second})" for name, kind in world.kinds.items())
    CARD.write_text(f"""# Toybox: the bundled text-to-image model

<!-- written by `python -m toybox.evaluate`; change toybox/card.py instead -->

A small latent diffusion model of toy objects in the format of Stable Diffusion (`StableDiffusionPipeline`, latents
32x32x4, pictures 128x128, v-prediction with zero terminal SNR). It lets the whole project run, and be judged, on a
laptop's CPU without a download.

```python
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained("toybox/model")
pipeline("a red chair, front view", num_inference_steps=25, guidance_scale=4).images[0].save("chair.png")
```

![Samples](contact-sheet.png)

The sheet, row by row (the first 40 pictures of the evaluation, then the first eight of unseen pairs; none chosen):

{legend}

## Vocabulary
- Objects, in brackets the part that a second colour names: {seconds}.
- Colours: {", ".join(world.colours)}.
- Views: {", ".join(f"{word} view" for word in world.view_words)}.
- Captions look like "a red chair", "a blue house with a red roof", "a red chair, front view".
- {_held_out(world.held_out["share"])}

## Figures
{_rows(figures)}

{_autoencoder(figures)}

Score distillation on free 2D latents: the judge names {distilled["named"]} of {distilled["of"]} \
(floor {DISTILLED_FLOOR}; met: {_yes(distilled["named"] >= DISTILLED_FLOOR)}).
Kinds named right least often: {", ".join(f"{kind} {100 * share:.0f}%" for kind, share in weakest)}.

{_judge(judge, figures)}

## How it was made
{training_part(facts, "python -m toybox.train")}

{GOING_ON}

## Limits
It knows the words above and nothing else: any other word is spelled out in pieces that it never learned, and the
program warns. One canonical shape per kind, one light, flat backgrounds. For free text use Stable Diffusion
(`configs/latent-nerf-sd.yaml`).
""")

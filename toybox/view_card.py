"""The multi-view model's card, `toybox/multiview/README.md`, from what training, judging and evaluation left behind."""

import json
from pathlib import Path

from toybox.card import training_part

FLOORS = (
    ("object named right", "object", 0.97),
    ("main colour named right", "colour", 0.98),
    ("azimuth within 30 degrees (kinds with a front)", "azimuth", 0.95),
)
HULL_FLOOR = 0.85


def write_view_card(model: Path, captions: list[str]) -> None:
    """Writes the card into the model's folder.

    Args:
        captions: of the contact sheet's objects, three a row.
    """
    facts, figures = (json.loads((model / f"{name}.json").read_text()) for name in ("training", "evaluation"))
    size = figures["latent_size"]
    legend = "\n".join(f"{row // 3 + 1}. {'; '.join(captions[row : row + 3])}" for row in range(0, len(captions), 3))
    hull = figures["hull"]
    (model / "README.md").write_text(f"""# Toybox, multi-view: the bundled model that is told its cameras

<!-- written by `python -m toybox.evaluate --multiview`; change toybox/view_card.py instead -->

The denoiser of `toybox/model`, trained further: it is told where each picture is taken from, and draws several views of
an object together. Folder in the diffusers layout; the UNet loads by the stock `UNet2DConditionModel`. `cameras.json`
says how cameras are told: ray maps as six further input channels (CAT3D, arXiv:2405.10314) and the flattened
camera-to-world matrix as `class_labels` (MVDream, arXiv:2308.16512). Self-attention is joined over an object's views by
an attention processor without weights of its own (`toybox/view_denoiser.py`). Captions name no view: "a red chair".

![Samples](contact-sheet.png)

The sheet, row by row, each object from four cameras drawn at random (none chosen):

{legend}

## Figures
On {figures["object"]["count"]} pictures from cameras drawn over the whole range, four views of an object together,
{size} x {size} latents:

| | share | 95% interval | pictures | floor | met |
|---|---|---|---|---|---|
{_rows(figures)}

Of seen pairs of object and colour {_share(figures["object_seen"])} are named right, of unseen ones
{_share(figures["object_unseen"])}. All four views of an object have the same colour in
{_share(figures["one_colour"])} of the objects. The hull that eight drawn silhouettes carve overlaps the true one by
{hull["mean"]:.2f} (intersection over union, mean over kinds; floor {HULL_FLOOR}; met:
{"yes" if hull["mean"] >= HULL_FLOOR else "no"}).

Named right least often: {_worst(figures["object_by_kind"])}; by view: {_worst(figures["object_by_view"])}.
Azimuth right least often: {_worst(figures["azimuth_by_kind"])}. Hulls that overlap least: {_worst(hull["by_kind"])}.

## How it was made
{training_part(facts, "python -m toybox.train --multiview")}

To go on: `python -m toybox.train --multiview --fine-steps N` in the same `--work`; then
`python -m toybox.evaluate --multiview` measures, and writes this card anew.
""")


def _rows(figures: dict) -> str:
    lines = []
    for title, key, floor in FLOORS:
        f = figures[key]
        met = "yes" if f["share"] >= floor else "no"
        band = f"{100 * f['low']:.1f} - {100 * f['high']:.1f}%"
        lines.append(f"| {title} | {_share(f)} | {band} | {f['count']} | {100 * floor:.0f}% | {met} |")
    return "\n".join(lines)


def _share(figure: dict) -> str:
    return f"{100 * figure['share']:.1f}%"


def _worst(shares: dict[str, float]) -> str:
    return ", ".join(f"{word} {100 * share:.0f}%" for word, share in sorted(shares.items(), key=lambda x: x[1])[:4])

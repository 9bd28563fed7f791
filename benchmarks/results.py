"""The benchmark's results as people and programs read them: lines, a table, plain values, a sheet of pictures."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.figures import Figures
from benchmarks.floors import Row
from benchmarks.toy_prompts import ToyPrompt
from systems.contact_sheet import GAP, save_png

N_SHOWN = 4  # of the eight judged views: front, sides and back
LABEL_HEIGHT = 14
COLUMNS = ("object", "IoU", "ceiling", "ellipsoid", "outline", "unaligned", "named", "colour", "azimuth", "seconds")


def summary_line(prompt: ToyPrompt, figures: Figures) -> str:
    """One object in one line."""
    votes = figures.votes
    placed = "" if votes.azimuth is None else f", azimuth {votes.azimuth}/{votes.n_views}"
    return (
        f"{figures.seconds:.0f} s, IoU {figures.iou:.3f} (scale {figures.scale:.2f}), "
        f"outline {figures.silhouette_iou:.3f}, {prompt.subject.kind} {votes.kind}/{votes.n_views}, "
        f"{prompt.subject.main} {votes.colour}/{votes.n_views}{placed}" + (", EMPTY" if figures.empty else "")
    )


def table(rows: Sequence[Row]) -> str:
    """All objects, one line each, and the means; columns aligned, readable as Markdown."""
    lines = [[*_cells(row)] for row in rows]
    means = [row_means(rows)[name] for name in ("iou", "ceiling_iou", "ellipsoid_iou", "outline", "unaligned")]
    seconds = fmean(row.ours.seconds for row in rows)
    lines.append(["mean", *(f"{mean:.3f}" for mean in means), "", "", "", f"{seconds:.0f}"])
    widths = [max(len(line[i]) for line in [list(COLUMNS), *lines]) for i in range(len(COLUMNS))]
    ruled = [COLUMNS, ["-" * width for width in widths], *lines]
    return "\n".join(
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in ruled
    )


def row_means(rows: Sequence[Row]) -> dict[str, float]:
    """Means over the objects."""
    return {
        "iou": fmean(row.ours.iou for row in rows),
        "ceiling_iou": fmean(row.ceiling.iou for row in rows),
        "ellipsoid_iou": fmean(row.ellipsoid_iou for row in rows),
        "outline": fmean(row.ours.silhouette_iou for row in rows),
        "unaligned": fmean(row.ours.silhouette_iou_unaligned for row in rows),
        "seconds": fmean(row.ours.seconds for row in rows),
        "ceiling_seconds": fmean(row.ceiling.seconds for row in rows),
    }


def _cells(row: Row) -> list[str]:
    votes = row.ours.votes
    numbers = (row.ours.iou, row.ceiling.iou, row.ellipsoid_iou, row.ours.silhouette_iou)
    return [
        row.prompt.text + ("" if row.prompt.seen else " (unseen)"),
        *(f"{number:.3f}" for number in (*numbers, row.ours.silhouette_iou_unaligned)),
        f"{votes.kind}/{votes.n_views}",
        f"{votes.colour}/{votes.n_views}",
        "" if votes.azimuth is None else f"{votes.azimuth}/{votes.n_views}",
        f"{row.ours.seconds:.0f}",
    ]


def row_figures(rows: Sequence[Row]) -> dict[str, Any]:
    """Every figure of every object, and the means, as plain values."""
    return {
        "means": row_means(rows),
        "objects": [
            {
                "prompt": row.prompt.text,
                "seen": row.prompt.seen,
                **asdict(row.prompt.kind),
                "ellipsoid_iou": row.ellipsoid_iou,
                "ours": asdict(row.ours),
                "ceiling": asdict(row.ceiling),
            }
            for row in rows
        ],
    }


def write_sheet(path: Path, rows: Sequence[Row], views: Sequence[tuple[Path, Path]]) -> Path:
    """One line per object: front, side, back, side of the one made from text, then of the one made from pictures.

    Args:
        views: for each row the two pictures that `figures.measure` left.
    """
    blocks = []
    for row, files in zip(rows, views, strict=True):
        strip = np.concatenate([_every_second(file) for file in files], axis=1)
        label = Image.new("RGB", (strip.shape[1], LABEL_HEIGHT), "white")
        words = f"{row.prompt.text}: IoU {row.ours.iou:.2f}   right: from pictures, IoU {row.ceiling.iou:.2f}"
        ImageDraw.Draw(label).text((GAP, 1), words, fill="black")
        blocks += [np.asarray(label), strip]
    save_png(path, np.concatenate(blocks, axis=0))
    return path


def _every_second(file: Path) -> np.ndarray:
    """Every second picture of a strip of eight."""
    strip = np.asarray(Image.open(file).convert("RGB"))
    size = strip.shape[0]
    shown = [strip[:, first : first + size] for first in range(0, strip.shape[1], 2 * (size + GAP))]
    gap = np.full((size, GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([piece for picture in shown[:N_SHOWN] for piece in (picture, gap)], axis=1)

"""The sketch benchmark's results: what must hold, a table, and a plot of conformity over lenience."""

import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from benchmarks.floors import Floor
from benchmarks.sketch_cases import LENIENCES, SketchCase
from benchmarks.sketch_figures import SketchFigures
from systems.contact_sheet import save_png

Trained = Sequence[tuple[SketchCase, SketchFigures]]
PLOT_SIZE = (480, 320)
MARGIN = 44


def conformity(trained: Trained) -> dict[float, float]:
    """Mean IoU with the sketch by lenience."""
    of = {
        lenience: [f.iou for c, f in trained if (c.question, c.lenience) == ("conformity", lenience)]
        for lenience in LENIENCES
    }
    return {lenience: fmean(found) for lenience, found in of.items() if found}


def trained_floors(trained: Trained) -> list[Floor]:
    """What must hold of trained objects, as far as they are there."""
    found: list[Floor] = []
    means = conformity(trained)
    if means:
        strict = means[min(means)]
        found.append(_at_least(f"conformity at lenience {min(means):g}: mean IoU with the sketch", strict, 0.8))
    if len(means) == len(LENIENCES):
        values = [means[lenience] for lenience in LENIENCES]
        rise = max(after - before for before, after in itertools.pairwise(values))
        found.append(
            Floor("conformity rises by at most 0.03 from a lenience to the next", -rise, -0.03, f"{rise:+.3f}")
        )
        found.append(_at_least("conformity falls from the strictest to the most lenient", values[0] - values[-1], 0.1))
    for case, figures in trained:
        if case.question == "influence":
            other, iou = max(figures.iou_others.items(), key=lambda pair: pair[1])
            name, nearer = f"{case.sketch}: IoU with its own sketch over {other}'s", figures.iou - iou
            # An empty object is as far from one sketch as from the other, and follows none.
            found.append(Floor(name, nearer, 0.0, f"{nearer:.3f}, above 0 wanted", strictly=True))
        if case.question == "completion":
            found.append(_at_least(f"{case.sketch}: IoU in the completed part", figures.iou_completed or 0.0, 0.4))
            found.append(_at_least(f"{case.sketch}: IoU in the given part", figures.iou_given or 0.0, 0.75))
        if case.question != "conformity":
            votes = figures.votes
            found.append(
                _at_least(f"{case.sketch}: share of views named {case.subject.kind}", votes.kind / votes.n_views, 0.501)
            )
    return found


def measured_floors(content: dict[str, Any]) -> list[Floor]:
    """What must hold of tables and costs."""
    return [
        _at_least("tables: least agreement of occupancy", min(row["occupancy"] for row in content["tables"]), 0.998),
        _at_most(
            "tables: largest error of the distance, cells", max(row["distance_cells"] for row in content["tables"]), 1.0
        ),
        _at_most(
            f"reading and tabulating {content['timing']['faces']:.0f} faces, seconds",
            content["timing"]["seconds"],
            5.0,
        ),
        *[
            _at_most(f"shape loss at step {row['step']:.0f}, share of the step", row["share"], 0.05)
            for row in content["cost"]
        ],
        _at_most("loss at lenience 1e3 over 0.05", content["lenient"]["loss"], 1e-5),
        _at_most("gradient at lenience 1e3 over 0.05", content["lenient"]["gradient"], 1e-5),
    ]


def _at_least(name: str, value: float, wanted: float) -> Floor:
    return Floor(name, value, wanted, f"{value:.3f}, at least {wanted:g} wanted")


def _at_most(name: str, value: float, wanted: float) -> Floor:
    return Floor(name, -value, -wanted, f"{value:.3g}, at most {wanted:g} wanted")


def table(trained: Trained) -> str:
    """One line for each object, readable as Markdown."""
    lines = ["| object | IoU | others' | completed | given | named | seconds |", "|---|---|---|---|---|---|---|"]
    for case, f in trained:
        others = f"{max(f.iou_others.values()):.3f}" if f.iou_others else ""
        parts = ["" if value is None else f"{value:.3f}" for value in (f.iou_completed, f.iou_given)]
        votes = f"{f.votes.kind}/{f.votes.n_views}"
        lines.append(f"| {case.name} | {f.iou:.3f} | {others} | {' | '.join(parts)} | {votes} | {f.seconds:.0f} |")
    return "\n".join(lines)


def write_plot(path: Path, trained: Trained) -> Path:
    """IoU over lenience (logarithmic): the mean as a line, each object as a dot."""
    width, height = PLOT_SIZE
    canvas = Image.new("RGB", PLOT_SIZE, "white")
    draw = ImageDraw.Draw(canvas)

    def place(lenience: float, iou: float) -> tuple[float, float]:
        low, high = math.log(LENIENCES[0]), math.log(LENIENCES[-1])
        across = (math.log(lenience) - low) / (high - low)
        return MARGIN + across * (width - 2 * MARGIN), height - MARGIN - iou * (height - 2 * MARGIN)

    for share in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        draw.line([place(LENIENCES[0], share), place(LENIENCES[-1], share)], fill=(225, 225, 225))
        draw.text((MARGIN - 26, place(LENIENCES[0], share)[1] - 6), f"{share:.1f}", fill="black")
    for lenience in LENIENCES:
        x, y = place(lenience, 0.0)
        draw.text((x - 8, y + 6), f"{lenience:g}", fill="black")
    draw.text((MARGIN, 14), "IoU with the sketch over lenience: mean and single objects", fill="black")
    for case, figures in trained:
        if case.question == "conformity":
            x, y = place(case.lenience, figures.iou)
            draw.ellipse([x - 2, y - 2, x + 2, y + 2], outline=(120, 120, 120))
    means = conformity(trained)
    draw.line([place(lenience, means[lenience]) for lenience in means], fill=(30, 80, 200), width=2)
    return save_png(path, np.asarray(canvas))

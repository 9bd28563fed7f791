"""Numbers over the steps of a training as pictures: SVG that needs nothing but itself."""

import html
import math
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from systems.loggers import read_rows

WIDTH, HEIGHT = 560, 220
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 26, 28
COLOURS = ("#2457c5", "#c2410c", "#15803d", "#7e22ce", "#a16207", "#0e7490")
#: More points than this are thinned out: a screen shows no more.
MOST_POINTS = 400


@dataclass(frozen=True)
class Metrics:
    """The columns of metrics.csv by name, all equally long."""

    columns: dict[str, list[float]]

    @property
    def steps(self) -> list[float]:
        """The step of each row."""
        return self.columns.get("step", [])

    @property
    def seconds(self) -> float:
        """Of training altogether; a resumed run's clock began again, so its parts are added up."""
        clock = self.columns.get("seconds", [])
        return sum((now for now, after in pairwise([*clock, -math.inf]) if after < now), 0.0)


def read_metrics(path: Path) -> Metrics:
    """Read what the training wrote; empty where there is no such file."""
    rows = read_rows(path)
    return Metrics({name: [row[name] for row in rows] for name in (rows[0] if rows else {})})


def curves_svg(title: str, steps: list[float], curves: dict[str, list[float]]) -> str:
    """Curves over the steps with axes and names; a sentence instead where there is nothing to draw."""
    shown = {name: values for name, values in curves.items() if len(values) == len(steps) and len(steps) > 1}
    if not shown:
        return f"<p>{html.escape(title)}: no numbers.</p>"
    finite = [value for values in shown.values() for value in values if math.isfinite(value)]
    low, high = min([0.0, *finite]), max([1e-9, *finite])
    first, last = min(steps), max(steps)

    def x(step: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (step - first) / max(last - first, 1e-9)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - low) / max(high - low, 1e-9)

    parts = [f'<text x="{LEFT}" y="15" class="title">{html.escape(title)}</text>']
    for value in (low, (low + high) / 2, high):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" class="grid"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y(value) + 4:.1f}" class="at-end">{value:.3g}</text>')
    for step in (first, last):
        parts.append(f'<text x="{x(step):.1f}" y="{HEIGHT - 8}" class="at-end">{step:g}</text>')
    stride = -(-len(steps) // MOST_POINTS)
    for i, (name, values) in enumerate(shown.items()):
        colour = COLOURS[i % len(COLOURS)]
        points = " ".join(
            f"{x(step):.1f},{y(value):.1f}"
            for step, value in list(zip(steps, values, strict=True))[::stride]
            if math.isfinite(value)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(
            f'<text x="{WIDTH - RIGHT}" y="{15 + 14 * i}" fill="{colour}" class="at-end">{_short(name)}</text>'
        )
    inside = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">{inside}</svg>'


def _short(name: str) -> str:
    return html.escape(name.removeprefix("loss/"))

"""Metrics read back, and curves whose points lie where they should."""

import re
from pathlib import Path

import pytest

from exporters.curves import BOTTOM, HEIGHT, LEFT, MOST_POINTS, RIGHT, TOP, WIDTH, curves_svg, read_metrics


def test_a_torn_last_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,seconds,loss\n1,0.5,3\n10,2.5,nan\n20,5.0\n20,x,1\n")
    metrics = read_metrics(path)
    assert metrics.steps == [1, 10]
    assert metrics.seconds == 2.5


def test_what_is_no_table_from_some_line_on_is_read_until_there(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,loss\n1,3\n2,2\n" + "9" * 200_000 + ",1\n")
    assert read_metrics(path).steps == [1, 2]


def test_curves_without_a_finite_number_are_drawn_empty() -> None:
    assert _points(curves_svg("Loss", [0.0, 1.0], {"loss": [float("nan")] * 2})) == []


def test_a_resumed_runs_seconds_add_up(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text("step,seconds\n10,4\n20,8\n30,3\n40,7\n")
    assert read_metrics(path).seconds == 15


@pytest.mark.parametrize("content", [None, "", "step,seconds\n"])
def test_without_numbers_there_is_a_sentence(content: str | None, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    if content is not None:
        path.write_text(content)
    metrics = read_metrics(path)
    assert metrics.seconds == 0
    assert curves_svg("Loss <1>", metrics.steps, metrics.columns) == "<p>Loss &lt;1&gt;: no numbers.</p>"


def _points(svg: str) -> list[tuple[float, float]]:
    (text,) = re.findall(r'points="([^"]*)"', svg)
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def test_points_lie_between_the_axes_by_hand() -> None:
    points = _points(curves_svg("Loss", [0.0, 50.0, 100.0], {"loss": [2.0, 1.0, 0.0]}))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    assert points == [(LEFT, TOP), ((LEFT + WIDTH - RIGHT) / 2, middle), (WIDTH - RIGHT, HEIGHT - BOTTOM)]


def test_what_is_no_number_leaves_a_gap_and_long_curves_are_thinned() -> None:
    steps = [float(step) for step in range(5 * MOST_POINTS)]
    values = [1.0] * len(steps)
    assert len(_points(curves_svg("Loss", steps, {"loss": values}))) == MOST_POINTS
    assert len(_points(curves_svg("Loss", [0.0, 1.0, 2.0], {"loss": [1.0, float("nan"), 2.0]}))) == 2

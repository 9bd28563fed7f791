"""The floors of the painting benchmark on figures made up by hand, and what is printed of a painting."""

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks.paint_report import description, floors
from benchmarks.painted_files import TextureFigures
from benchmarks.painting import Painting, read_painting
from benchmarks.part_colours import PartColours
from exporters.seams import SeamGaps

PARTS = PartColours(0.1, 4, 4)
GAPS = SeamGaps(0.01, 0.002, 100, 0.02, 50, 0.0133, 0.002)
GOOD = Painting(
    prompt="a red car",
    seconds=50.0,
    colour_votes=8,
    first_colour_votes=0,
    parts=PARTS,
    first_parts=PartColours(0.5, 4, 1),
    baked=TextureFigures(PARTS, GAPS),
    atlas=TextureFigures(PartColours(0.2, 4, 3), SeamGaps(0.03, 0.002, 100, 0.08, 50, 0.04, 0.002)),
    atlas_shift=0.07,
    geometry_fault=None,
)


def _with_seams(seams: float) -> TextureFigures:
    return TextureFigures(PARTS, dataclasses.replace(GAPS, all_seams=seams))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"colour_votes": 4}, "colour named right"),
        ({"parts": PartColours(0.16, 4, 4)}, "main colour"),
        ({"parts": PartColours(0.1, 4, 2)}, "parts of a fixed colour"),
        ({"first_colour_votes": 8}, "better than the beginning on all three"),
        ({"geometry_fault": "faces differ"}, "geometry kept"),
        ({"baked": _with_seams(0.016)}, "seams"),
        ({"seconds": 61.0}, "time"),
    ],
)
def test_each_floor_falls_alone(changes: dict, name: str):
    assert all(floor.met for floor in floors([GOOD]))
    fallen = [floor.name for floor in floors([dataclasses.replace(GOOD, **changes)]) if not floor.met]
    assert fallen == [name]


def test_the_atlas_is_told_and_not_demanded():
    assert all(floor.met for floor in floors([dataclasses.replace(GOOD, atlas_shift=0.9)]))
    lines = description(GOOD).splitlines()
    assert [line.split("  distance")[0].strip() for line in lines[1:3]] == ["baked views", "decoded atlas"]
    assert "distance 0.200  fixed  3/4" in lines[2]
    assert "0.070 off the baked views" in lines[2]


def test_what_was_lost_is_said():
    lost = dataclasses.replace(GOOD, geometry_fault="faces differ")
    kept = next(floor for floor in floors([GOOD, lost]) if floor.name == "geometry kept")
    assert kept.text == "1 of 2, all wanted; a red car: faces differ"


def test_figures_come_back_as_they_were(tmp_path: Path):
    note = tmp_path / "measured.json"
    assert read_painting(note) is None
    note.write_text(json.dumps(dataclasses.asdict(GOOD)))
    assert read_painting(note) == GOOD


@pytest.mark.parametrize("left_out", ["atlas_shift", "parts"])
def test_figures_of_an_earlier_kind_are_measured_again(left_out: str, tmp_path: Path):
    known = dataclasses.asdict(GOOD)
    del known[left_out]
    (tmp_path / "measured.json").write_text(json.dumps(known))
    assert read_painting(tmp_path / "measured.json") is None

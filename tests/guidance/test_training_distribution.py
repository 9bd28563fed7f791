"""world.json: read whole, or refused with the file's name."""

import json
from pathlib import Path

import pytest

from core.errors import UserError
from guidance.model_source import find_model
from guidance.training_distribution import read_training_distribution

WORLD = {
    "object_radius": 0.5,
    "cameras": {"elevation_deg": [-45, 85], "radius": [1.4, 1.8], "fovy_deg": [42, 52]},
    "view_bins": {"overhead_deg": 60, "bottom_deg": -30, "front_half_width_deg": 35},
    "backgrounds": {"grey": [0.5, 0.5, 0.5]},
    "vocabulary": ["a", "red", "mushroom"],
}


def _write(folder: Path, content: str) -> Path:
    (folder / "world.json").write_text(content)
    return folder


def test_all_numbers_arrive(tmp_path: Path):
    world = read_training_distribution(_write(tmp_path, json.dumps(WORLD)))
    assert world is not None
    assert (world.elevation_deg, world.radius, world.fovy_deg) == ((-45, 85), (1.4, 1.8), (42, 52))
    assert world.view_bins.bottom_deg == -30
    assert world.backgrounds == {"grey": (0.5, 0.5, 0.5)}
    assert world.vocabulary == ("a", "red", "mushroom")


def test_models_without_the_file_have_no_world(tmp_path: Path):
    assert read_training_distribution(tmp_path) is None
    assert read_training_distribution(None) is None


def test_the_bundled_model_has_one():
    world = read_training_distribution(find_model("toybox").folder)
    assert world is not None
    assert "mushroom" in world.vocabulary
    assert world.object_radius < world.radius[0]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "world.json: "),
        (json.dumps({**WORLD, "cameras": {}}), "world.json: 'elevation_deg' is missing"),
        (
            json.dumps({**WORLD, "cameras": {**WORLD["cameras"], "radius": [2, 1]}}),
            r"the range \[2, 1\] runs downwards",
        ),
        (json.dumps({**WORLD, "backgrounds": {"grey": [0.5]}}), "world.json: not enough values"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, content: str, complaint: str):
    with pytest.raises(UserError, match=complaint):
        read_training_distribution(_write(tmp_path, content))

"""The canonical objects: in their ball, closed, the right way round, painted as captions say."""

import json

import numpy as np
import pytest

from toybox.captions import PLURALS
from toybox.scenes import BUILDERS, FIXED, build
from toybox.world import MODEL_FOLDER, load_world

KINDS = sorted(BUILDERS)


def test_world_json_and_scenes_name_the_same_kinds():
    raw = json.loads((MODEL_FOLDER / "world.json").read_text())
    assert set(raw["kinds"]) == set(BUILDERS)
    assert len(raw["kinds"]) >= 20
    assert len(raw["colours"]) >= 10
    assert sum(kind["front"] for kind in raw["kinds"].values()) >= 8


def test_vocabulary_is_exactly_what_captions_are_made_of():
    world = load_world()
    seconds = {kind.second for kind in world.kinds.values()}
    words = {"a", "an", "with", "view", ",", *world.view_words, *world.colours, *world.kinds, *seconds}
    assert set(world.vocabulary) == words
    assert seconds >= PLURALS


@pytest.mark.parametrize("kind", KINDS)
def test_object_fills_its_ball_and_its_parts_are_solids(kind):
    scene = build(kind)
    radius = load_world().object_radius
    assert np.linalg.norm(scene.mesh.vertices, axis=1).max() == pytest.approx(radius, abs=1e-6)
    middle = scene.mesh.bounds.mean(axis=0)
    np.testing.assert_allclose(middle, 0, atol=1e-6)
    for part in scene.parts:
        assert part.mesh.is_watertight, part.name
        assert part.mesh.volume > 0, part.name


@pytest.mark.parametrize("kind", KINDS)
def test_named_colours_reach_the_parts_they_name(kind):
    colours = load_world().colours
    scene = build(kind)
    painted = scene.part_colours("red", "blue").tolist()
    for part, colour in zip(scene.parts, painted, strict=True):
        rule = part.paint
        expected = colours["red"] if rule == "main" else colours["blue"] if rule.startswith("second") else FIXED[rule]
        np.testing.assert_allclose(colour, expected, atol=1e-6)
    assert any(part.paint == "main" for part in scene.parts)
    assert any("second" in part.paint for part in scene.parts)


# what lies at the front (+z), at the back, and on top of objects that a person would turn the same way
FRONTS = {
    "boat": "bow", "car": "headlight", "house": "door", "snowman": "nose", "duck": "beak", "robot": "panel",
    "train": "face",
}  # fmt: skip
BACKS = {"chair": "back", "sofa": "back", "bed": "headboard", "airplane": "fin", "fish": "tail", "car": "tail light"}
TOPS = {"house": "roof", "rocket": "nose", "tree": "top bough", "mushroom": "cap", "table": "top", "lamp": "shade"}


@pytest.mark.parametrize(
    ("parts", "axis", "sign"), [(FRONTS, 2, 1), (BACKS, 2, -1), (TOPS, 1, 1)], ids=["front", "back", "top"]
)
def test_objects_face_the_front_and_stand_upright(parts, axis, sign):
    for kind, name in parts.items():
        scene = build(kind)
        middle = np.mean([part.mesh.centroid[axis] for part in scene.parts if part.name == name])
        assert sign * middle > 0.05, (kind, name)


def test_every_kind_with_a_front_has_its_facing_tested():
    assert {kind for kind, facts in load_world().kinds.items() if facts.front} == {*FRONTS, *BACKS}


def test_mug_and_donut_have_their_holes():
    for kind, name in (("mug", "handle"), ("donut", "icing")):
        solid = next(part.mesh for part in build(kind).parts if part.name == name)
        assert solid.euler_number == 0, kind  # a closed surface with one hole

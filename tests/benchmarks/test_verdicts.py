"""Votes counted by hand, and the judge on canonical objects seen from the views that it is asked about."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.canonical import toy_views
from benchmarks.toy_prompts import toy_prompts
from benchmarks.verdicts import angle_between, count_votes, judge_object, judged_cameras, judged_pictures
from geometry.textured_mesh import TexturedMesh
from tests.systems.small_paint import fitting_paint, write_ball
from toybox.buffers import SUPERSAMPLING, Caster
from toybox.judge import Verdict
from toybox.scenes import build
from toybox.shading import paint, training_light
from toybox.world import load_world


def prompt_of(kind: str):
    return next(prompt for prompt in toy_prompts() if prompt.subject.kind == kind)


def canonical_pictures(prompt) -> torch.Tensor:
    """The object itself, as `judged_pictures` would show a perfect one: [8, rows, columns, 3]."""
    subject, caster = prompt.subject, Caster(build(prompt.subject.kind))
    cast = [caster.cast(view, SUPERSAMPLING * 128) for view in toy_views(judged_cameras(128))]
    pictures, _ = paint(
        torch.from_numpy(np.stack([parts for parts, _ in cast])),
        torch.from_numpy(np.stack([normals for _, normals in cast])),
        torch.from_numpy(build(subject.kind).part_colours(subject.main, subject.second)).expand(8, -1, -1),
        torch.tensor(load_world().backgrounds["grey"]).expand(8, 3),
        training_light(8),
    )
    return pictures.movedim(1, -1)


@pytest.mark.parametrize(("one", "other", "between"), [(10, 350, 20), (-170, 170, 20), (0, 180, 180), (45, 45, 0)])
def test_angles_go_the_short_way_round(one, other, between):
    assert angle_between(one, other) == pytest.approx(between)


def test_votes_are_counted_by_hand():
    car = prompt_of("car")
    wrong = "duck" if car.subject.main != "red" else "robot"
    right = Verdict("car", 0.9, car.subject.main, "own", 59.0)
    votes = count_votes(car, [right, right, Verdict(wrong, 0.9, "white", "own", 179.0)], [0.0, 120.0, -121.0])
    assert (votes.kind, votes.colour, votes.azimuth) == (2, 2, 2)  # 59, 61 and 60 degrees astray
    assert votes.named
    assert not count_votes(car, [right, Verdict(wrong, 0.9, "white", "own", 0.0)], [0.0, 0.0]).named, (
        "half is no majority"
    )


def test_object_and_colour_count_where_both_are_right():
    car = prompt_of("car")
    main, wrong = car.subject.main, "white" if car.subject.main != "white" else "red"
    only_kind, only_colour = Verdict("car", 0.9, wrong, "own", 0.0), Verdict("duck", 0.9, main, "own", 0.0)
    both = Verdict("car", 0.9, main, "own", 0.0)
    votes = count_votes(car, [only_kind, only_colour, both], [0.0, 0.0, 0.0])
    assert (votes.kind, votes.colour, votes.both) == (2, 2, 1)
    assert not votes.named, "each has a majority, but together they are right once"


def test_what_has_no_front_is_not_asked_for_it():
    donut = prompt_of("donut")
    votes = count_votes(donut, [Verdict("donut", 0.9, "pink", "own", 0.0)], [0.0])
    assert votes.azimuth is None
    assert not votes.faces_front


@pytest.mark.parametrize(
    ("said", "two"),
    [
        ([0, 45, 90, 135, 180, 225, 270, 315], False),
        ([0, 45, 90, 45, 0, 315, 270, 315], True),  # mirrored: the face again on the back
        ([0, 45, 90, 50, 180, 225, 270, 315], False),  # one slip of the judge
        ([180, 225, 270, 315, 0, 45, 90, 135], False),  # turned round: one front, where its back belongs
    ],
)
def test_a_second_front_is_one_that_most_views_from_behind_show(said, two):
    car = prompt_of("car")
    azimuths = [45.0 * i for i in range(8)]
    verdicts = [Verdict("car", 0.9, car.subject.main, "own", float(azimuth)) for azimuth in said]
    votes = count_votes(car, verdicts, azimuths)
    assert votes.two_fronts is two
    assert not dataclasses.replace(votes, azimuth=None).two_fronts, "what has no front has no second one"


@pytest.mark.parametrize("kind", ["car", "mushroom", "robot"])
def test_canonical_objects_are_named_and_face_the_front(kind):
    prompt = prompt_of(kind)
    pictures = canonical_pictures(prompt)
    votes = judge_object(prompt, pictures)
    assert votes.named
    if prompt.kind.front:
        assert votes.faces_front
        turned = judge_object(prompt, pictures.roll(4, dims=0))  # seen from behind where the front is asked for
        assert not turned.faces_front


def test_the_judge_sees_grey_behind_the_object_whatever_it_was_trained_before(tmp_path: Path):
    """A blue ball that was painted before white: its views' corners are the world's grey, its middle stays blue."""
    system = fitting_paint(write_ball(tmp_path / "ball.ply"), 3)
    assert isinstance(system.geometry, TexturedMesh)
    system.geometry.restart(torch.tensor([-1.0, -1.0, 1.0]))
    system.set_up()
    pictures = judged_pictures(system)
    middle = pictures.shape[1] // 2
    grey = torch.tensor(load_world().backgrounds["grey"]).expand(8, 3)
    torch.testing.assert_close(pictures[:, 0, 0], grey, atol=1e-5, rtol=0)
    torch.testing.assert_close(
        pictures[:, middle, middle], torch.tensor([0.0, 0.0, 1.0]).expand(8, 3), atol=1e-5, rtol=0
    )
    own = system.decode(system.render(judged_cameras(16)).latents)
    torch.testing.assert_close(own[:, 0, 0], torch.ones(8, 3), atol=1e-5, rtol=0)

"""One world for all: what trains the model, what judges it and what uses it read the same numbers the same way."""

import json

import numpy as np
import pytest
import torch

from core.cameras import camera_rays, orbit_cameras, view_name
from guidance.prompts import VIEW_WORDS, unknown_words
from guidance.training_distribution import read_training_distribution
from toybox.buffers import View, random_view, view_rays
from toybox.captions import subjects
from toybox.judge.network import colour_classes, object_classes
from toybox.world import MODEL_FOLDER, load_world


@pytest.fixture(scope="module")
def raw():
    return json.loads((MODEL_FOLDER / "world.json").read_text())


def test_toybox_guidance_and_judge_read_the_same_file(raw):
    toybox, guidance = load_world(), read_training_distribution(MODEL_FOLDER)
    assert guidance is not None
    assert toybox.object_radius == guidance.object_radius == raw["object_radius"] == 0.5
    for name in ("elevation_deg", "radius", "fovy_deg"):
        assert toybox.cameras[name] == getattr(guidance, name) == tuple(raw["cameras"][name])
    for name, degrees in raw["view_bins"].items():
        assert toybox.view_bins[name] == getattr(guidance.view_bins, name) == degrees
    assert set(toybox.view_words) == set(VIEW_WORDS)
    assert toybox.backgrounds == guidance.backgrounds
    assert toybox.vocabulary == guidance.vocabulary
    assert set(object_classes()) == {*raw["kinds"], "nothing"}
    assert set(colour_classes()) == {*raw["colours"], "own"}


def test_both_sides_call_a_view_by_the_same_word():
    rng = np.random.default_rng(0)
    guidance = read_training_distribution(MODEL_FOLDER)
    assert guidance is not None
    angles = [(float(e), float(a)) for e, a in zip(rng.uniform(-90, 90, 500), rng.uniform(-400, 400, 500), strict=True)]
    angles += [(60.0, 0.0), (-30.0, 0.0), (0.0, 35.0), (0.0, -145.0)]  # the borders themselves
    for elevation, azimuth in angles:
        assert load_world().view_word(elevation, azimuth) == view_name(elevation, azimuth, guidance.view_bins)


def test_data_and_renderer_send_the_same_rays():
    rng = np.random.default_rng(1)
    for view in (random_view(rng), View(-40.0, 170.0, 1.4, 52.0)):
        origin, directions = view_rays(view, size=7)
        angles = (view.elevation_deg, view.azimuth_deg, view.radius, view.fovy_deg)
        rays = camera_rays(orbit_cameras(*(torch.tensor([a], dtype=torch.float64) for a in angles), height=7, width=7))
        np.testing.assert_allclose(rays.directions[0].numpy(), directions, atol=1e-9)
        np.testing.assert_allclose(rays.origins[0, 0, 0].numpy(), origin, atol=1e-9)


def test_no_caption_holds_a_word_that_would_be_warned_about():
    vocabulary = load_world().vocabulary
    for subject in (*subjects(seen=True), *subjects(seen=False)):
        assert unknown_words(subject.caption("overhead"), vocabulary) == []
    assert unknown_words("a red zebra", vocabulary) == ["zebra"]

"""Captions, what is held out of them, and their agreement with cameras."""

from typing import Any

import numpy as np
import pytest

from toybox.buffers import View, random_view, view_rays
from toybox.captions import Subject, draw_subject, subjects
from toybox.tokenizer import MAX_LENGTH, kept_tokenizer, new_tokenizer
from toybox.world import load_world


def test_captions_read_as_people_write_them():
    assert Subject("chair", "red").caption() == "a red chair"
    assert Subject("chair", "orange").caption("front") == "an orange chair, front view"
    assert Subject("house", "blue", "red").caption("side") == "a blue house with a red roof, side view"
    assert Subject("table", "white", "brown").caption() == "a white table with brown legs"


def test_held_out_subjects_are_a_share_that_hides_no_kind_and_no_colour():
    world = load_world()
    seen, held = set(subjects(seen=True)), set(subjects(seen=False))
    assert not seen & held
    pairs = [s for s in held if s.second is None]
    n_pairs = len(world.kinds) * len(world.colours)
    assert len(pairs) == round(0.15 * n_pairs)
    assert len(seen) + len(held) == n_pairs * len(world.colours)  # a pair alone, and with each other colour
    met = {(s.kind, s.main) for s in seen}
    triples = [s for s in held if s.second and (s.kind, s.main) in met]
    assert len(triples) / sum(s.second is not None for s in seen | set(triples)) == pytest.approx(0.15, abs=0.03)
    assert {s.kind for s in seen} == set(world.kinds)
    for what in ("main", "second"):
        assert {getattr(s, what) for s in seen} >= set(world.colours)
    assert all((s.kind, s.main) in met for s in seen if s.second)


def test_drawn_subjects_respect_what_is_held_out():
    rng = np.random.default_rng(0)
    held = set(subjects(seen=False))
    assert not {draw_subject(rng, "house") for _ in range(500)} & held
    assert {draw_subject(rng, "house", seen=False) for _ in range(50)} <= held


@pytest.mark.parametrize(
    ("elevation", "azimuth", "word"),
    [(60, 0, "overhead"), (59, 0, "front"), (-30, 180, "bottom"), (0, 35, "front"), (0, 36, "side"), (0, 145, "back"),
     (10, -90, "side"), (10, -146, "back"), (10, 360, "front")],
)  # fmt: skip
def test_view_words(elevation, azimuth, word):
    assert load_world().view_word(elevation, azimuth) == word


def test_cameras_stand_where_captions_say():
    origin, directions = view_rays(View(elevation_deg=0, azimuth_deg=0, radius=1.5, fovy_deg=50), size=65)
    np.testing.assert_allclose(origin, [0, 0, 1.5], atol=1e-12)
    np.testing.assert_allclose(directions[32, 32], [0, 0, -1], atol=1e-12)
    assert directions[32, 64, 0] > 0.3
    assert directions[0, 32, 1] > 0.3
    right, _ = view_rays(View(0, 90, 1.5, 50), size=1)
    np.testing.assert_allclose(right, [1.5, 0, 0], atol=1e-12)
    above, _ = view_rays(View(80, 0, 1.5, 50), size=1)
    assert above[1] > 1.4


def test_random_views_are_even_on_the_sphere():
    rng = np.random.default_rng(0)
    heights = [np.sin(np.radians(random_view(rng).elevation_deg)) for _ in range(4000)]
    low, high = np.sin(np.radians(load_world().cameras["elevation_deg"]))
    counts, _ = np.histogram(heights, bins=8, range=(low, high))
    assert abs(counts - 500).max() < 100  # 4.8 standard deviations


def require_words(tokenizer: Any) -> None:
    """Each word of the world is one token; any other is spelled out, without the token for what is unknown."""
    for word in load_world().vocabulary:
        assert len(tokenizer.tokenize(word)) == 1, word
    spelled = tokenizer.tokenize("zebra ☃")
    assert len(spelled) > 2
    assert tokenizer.unk_token not in spelled
    assert tokenizer.decode(tokenizer("a zebra").input_ids, skip_special_tokens=True) == "a zebra"


def test_tokenizer_knows_its_words_and_spells_out_any_other():
    tokenizer = new_tokenizer()
    require_words(tokenizer)
    longest = max((s.caption("overhead") for s in subjects(True)), key=lambda text: len(tokenizer(text).input_ids))
    assert len(tokenizer(longest).input_ids) <= MAX_LENGTH


def test_a_training_keeps_its_tokenizer(tmp_path, monkeypatch):
    first = new_tokenizer()
    kept = kept_tokenizer(tmp_path / "tokenizer", first)
    monkeypatch.setattr("toybox.tokenizer.new_tokenizer", lambda: pytest.fail("made anew"))
    again = kept_tokenizer(tmp_path / "tokenizer")
    texts = ["an orange airplane with a red tail, front view", "", "a wombat at dawn"]
    for text in texts:
        assert first(text).input_ids == kept(text).input_ids == again(text).input_ids
    padded = [tokenizer(texts, padding="max_length", return_tensors="pt").input_ids for tokenizer in (first, again)]
    assert padded[0].equal(padded[1])

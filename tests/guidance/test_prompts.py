"""Texts for views: the view word is never lost, unknown words are named."""

import pytest

from guidance.prompts import VIEW_WORDS, unknown_words, view_prompts, vocabulary_warning, with_endings

TOYS = ("a", "red", "blue", "mushroom", "chair", "front", "view")


def test_each_view_has_its_text():
    assert view_prompts("a red mushroom", lambda text: True) == {
        word: f"a red mushroom, {word} view" for word in ("front", "side", "back", "overhead", "bottom")
    }


@pytest.mark.parametrize("n_words", [1, 5, 11, 12, 13, 40, 400])
def test_a_long_prompt_is_cut_as_late_as_possible(n_words: int):
    prompt = " ".join(f"w{i}" for i in range(n_words))
    limit = 14  # words, of which two are the view's
    texts = view_prompts(prompt, lambda text: len(text.split()) <= limit)
    for word in VIEW_WORDS:
        assert texts[word].endswith(f", {word} view")
        kept = texts[word].removesuffix(f", {word} view").split()
        assert kept == prompt.split()[: min(n_words, 12)]


def test_one_endless_word_is_cut_between_characters():
    texts = view_prompts("🍄" * 500, lambda text: len(text) <= 30)
    assert texts["front"] == "🍄" * 18 + ", front view"


def test_what_is_cut_is_told_once(caplog: pytest.LogCaptureFixture):
    prompt = "a red mushroom " + "with a blue hat " * 40
    view_prompts(prompt, lambda text: len(text.split()) <= 14)
    (message,) = caplog.messages
    assert message.startswith("the prompt is too long for the text encoder; cut, and of no effect, is its end of 6")
    kept = " ".join(prompt.split()[:12])
    assert f"'{prompt.removeprefix(kept).strip()[:20]}" in message
    caplog.clear()
    assert with_endings("a red mushroom", [""], lambda text: True) == ["a red mushroom"]
    assert not caplog.messages


@pytest.mark.parametrize("prompt", ["word " * 200_000, "x" * 1_000_000, " " * 1_000_000 + "x", "a." * 500_000])
def test_a_megabyte_is_not_read_to_its_end(prompt: str):
    read: list[int] = []

    def fits(text: str) -> bool:
        read.append(len(text))
        return len(text) <= 3000

    text = view_prompts(prompt, fits)["side"]
    assert len(text) <= 3000
    assert sum(read) < 500_000


def test_a_thousand_unknown_words_are_counted():
    warning = vocabulary_warning(" ".join(f"w{i}x" for i in range(1000)), TOYS, "toy")
    assert warning
    assert "'w11x', 988 more words and may ignore" in warning


def test_a_cut_leaves_no_dangling_comma():
    assert view_prompts("a red, blue mushroom", lambda text: len(text) <= 18)["side"] == "a red, side view"


def test_unknown_words_once_each_in_order():
    assert unknown_words("A Red DRAGON on a mushroom-chair, dragon's egg", TOYS) == ["dragon", "on", "dragon's", "egg"]


@pytest.mark.parametrize(
    ("prompt", "unknown"),
    [
        ("a red mushroom 🍄", ["🍄"]),
        ("🍄, red 🍄!", ["🍄"]),
        ("a ☔️chair... 👨‍👩‍👧", ["☔️", "👨‍👩‍👧"]),
        ("a red, blue (chair) + 'mushroom' - #!", []),
        ("a cafe\u0301", ["cafe"]),  # an accent of its own is no word
    ],
)
def test_an_emoji_is_a_word_and_punctuation_is_none(prompt: str, unknown: list[str]):
    assert unknown_words(prompt, TOYS) == unknown


def test_the_warning_lists_words_without_punctuation():
    warning = vocabulary_warning("a 🍄", (",", "'", "red", "a"), "toybox")
    assert warning is not None
    assert "does not know '🍄' and may ignore it. It knows: a, red. For" in warning


def test_the_warning_names_words_neighbours_and_the_way_out():
    warning = vocabulary_warning("a red mushrom xyzzy", TOYS, "toybox")
    assert warning is not None
    assert "toybox: this small model does not know 'mushrom' (nearest: 'mushroom'), 'xyzzy'" in warning
    assert "--config configs/latent-nerf-sd.yaml" in warning


def test_known_words_need_no_warning():
    assert vocabulary_warning("A red mushroom!", TOYS, "toybox") is None

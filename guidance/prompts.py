"""View-dependent prompts: one text per view word, and a warning for words that a small model has never seen."""

import re
import unicodedata
from collections.abc import Callable, Collection, Sequence

from core.errors import nearest_word

#: In the order in which embeddings are kept.
VIEW_WORDS = ("front", "side", "back", "overhead", "bottom")


def view_prompts(prompt: str, fits: Callable[[str], bool], words: Sequence[str] = VIEW_WORDS) -> dict[str, str]:
    """The prompt for each view word: "a red mushroom" -> "a red mushroom, front view".

    Args:
        fits: whether the text encoder reads a text to its end. A prompt that is too long is shortened, so that the
            view word, which stands last, is not what gets lost.

    Source: DreamFusion (arXiv:2209.14988), section 3.2, item 2.
    """
    return {word: f"{shortened(prompt, f', {word} view', fits)}, {word} view" for word in words}


def shortened(prompt: str, ending: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of the prompt, in whole words, that fits together with its ending.

    Where not even the first word fits (500 characters without a space), it is cut between characters.
    """
    if fits(prompt + ending):
        return prompt
    word_ends = [match.end() for match in re.finditer(r"\S+", prompt)]
    cut = _last_that_fits(word_ends, prompt, ending, fits)
    if cut == 0:
        cut = _last_that_fits(list(range(1, len(prompt) + 1)), prompt, ending, fits)
    return prompt[:cut].rstrip(" ,;.")


def _last_that_fits(cuts: list[int], prompt: str, ending: str, fits: Callable[[str], bool]) -> int:
    low, high = 0, len(cuts)  # the first `low` cuts fit; the cut after `high` does not
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(prompt[: cuts[middle - 1]] + ending) else (low, middle - 1)
    return cuts[low - 1] if low else 0


def unknown_words(prompt: str, vocabulary: Collection[str]) -> list[str]:
    """The prompt's words and emoji, in order and once each, that a model of small vocabulary was not trained with."""
    known = {word.lower() for word in vocabulary}
    found = re.findall(r"\w+(?:[-']\w+)*|[^\w\s]+", prompt.lower())
    words = dict.fromkeys(word for word in map(_without_punctuation, found) if _says_something(word))
    return [word for word in words if word not in known and not all(part in known for part in word.split("-"))]


def vocabulary_warning(prompt: str, vocabulary: Collection[str], model: str) -> str | None:
    """One line naming the unknown words, their nearest known ones and the way out; None where all are known."""
    unknown = unknown_words(prompt, vocabulary)
    if not unknown:
        return None
    named = []
    for word in unknown:
        near = nearest_word(word, sorted(vocabulary))
        named.append(f"'{word}' (nearest: '{near}')" if near else f"'{word}'")
    words = sorted(filter(_says_something, vocabulary))
    return (
        f"{model}: this small model does not know {', '.join(named)} and may ignore it. "
        f"It knows: {', '.join(words)}. For any other words use Stable Diffusion: "
        "--config configs/latent-nerf-sd.yaml"
    )


def _without_punctuation(word: str) -> str:
    """Emoji run together with commas and dots alone; a word's own dashes and apostrophes stay."""
    if any(sign.isalnum() for sign in word):
        return word
    return "".join(sign for sign in word if not unicodedata.category(sign).startswith("P"))


def _says_something(word: str) -> bool:
    """Whether it is a word or an emoji; punctuation, arithmetic signs and lone accents say nothing to name."""
    return any(sign.isalnum() or unicodedata.category(sign) == "So" for sign in word)

"""View-dependent prompts: one text per view word, and a warning for words that a small model has never seen."""

import logging
import re
import unicodedata
from collections.abc import Callable, Collection, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from core.cameras import ViewBins
from core.errors import nearest_word
from core.types import Cameras

log = logging.getLogger(__name__)

#: In the order in which embeddings are kept.
VIEW_WORDS = ("front", "side", "back", "overhead", "bottom")
#: Of a prompt's end that is cut, this many characters are shown from either side.
LONGEST_SHOWN = 60
#: Below this length a prompt is tried as a whole.
MANY_CHARACTERS = 1024
#: Unknown words that a warning names.
MOST_NAMED = 12


def view_prompts(prompt: str, fits: Callable[[str], bool], words: Sequence[str] = VIEW_WORDS) -> dict[str, str]:
    """The prompt for each view word: "a red mushroom" -> "a red mushroom, front view".

    Args:
        fits: whether the text encoder reads a text to its end. A prompt that is too long is shortened, so that the
            view word, which stands last, is not what gets lost; a warning names what is cut.

    Source: DreamFusion (arXiv:2209.14988), section 3.2, item 2.
    """
    endings = [f", {word} view" for word in words]
    return dict(zip(words, with_endings(prompt, endings, fits), strict=True))


def with_endings(prompt: str, endings: Sequence[str], fits: Callable[[str], bool]) -> list[str]:
    """The prompt with each ending, shortened where the text encoder does not read it to its end, which is told."""
    kept = [shortened(prompt, ending, fits) for ending in endings]
    if (lost := prompt[min(map(len, kept)) :].strip(" ,;.")) and min(map(len, kept)) < len(prompt):
        said = lost if len(lost) <= 2 * LONGEST_SHOWN else f"{lost[:LONGEST_SHOWN]} ... {lost[-LONGEST_SHOWN:]}"
        log.warning(
            "the prompt is too long for the text encoder; cut, and of no effect, is its end of %d characters: %r",
            len(lost),
            said,
        )
    return [f"{text}{ending}" for text, ending in zip(kept, endings, strict=True)]


def shortened(prompt: str, ending: str, fits: Callable[[str], bool]) -> str:
    """The longest beginning of the prompt, in whole words, that fits together with its ending.

    Where not even the first word fits (500 characters without a space), it is cut between characters. Of a megabyte,
    only as much is looked at as may fit.
    """
    reach = MANY_CHARACTERS
    while reach < len(prompt) and fits(prompt[:reach] + ending):
        reach *= 2
    if reach >= len(prompt) and fits(prompt + ending):
        return prompt
    word_ends = [match.end() for match in re.finditer(r"\S+(?=\s|$)", prompt[: reach + 1])]
    cut = _last_that_fits(word_ends, prompt, ending, fits)
    if cut == 0:
        cut = _last_that_fits(list(range(1, min(reach, len(prompt)) + 1)), prompt, ending, fits)
    return prompt[:cut].rstrip(" ,;.")


def _last_that_fits(cuts: list[int], prompt: str, ending: str, fits: Callable[[str], bool]) -> int:
    low, high = 0, len(cuts)  # the first `low` cuts fit; the cut after `high` does not
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(prompt[: cuts[middle - 1]] + ending) else (low, middle - 1)
    return cuts[low - 1] if low else 0


def view_shares(cameras: Cameras, bins: ViewBins) -> Float[Tensor, "views words"]:
    """How much of each of `VIEW_WORDS` a view is told, for texts that blend: shares of front, side and back by azimuth.

    At azimuths 0, 90 and 180 it is one word alone, between them the nearer one more. Overhead and bottom begin where
    the bins say.

    Source: Perp-Neg (arXiv:2304.04968) interpolates embeddings likewise.
    """
    from_front = ((cameras.azimuth_deg + 180) % 360 - 180).abs() / 90
    side = 1 - (1 - from_front).abs()
    around = torch.stack([(1 - from_front).clamp_min(0), side, (from_front - 1).clamp_min(0)], dim=-1)
    above, below = cameras.elevation_deg >= bins.overhead_deg, cameras.elevation_deg <= bins.bottom_deg
    poles = torch.stack([above, below & ~above], dim=-1).to(around)
    return torch.cat([around * (1 - poles.sum(dim=-1, keepdim=True)), poles], dim=-1)


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
    for word in unknown[:MOST_NAMED]:
        near = nearest_word(word, sorted(vocabulary))
        named.append(f"'{word}' (nearest: '{near}')" if near else f"'{word}'")
    if len(unknown) > MOST_NAMED:
        named.append(f"{len(unknown) - MOST_NAMED} more words")
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

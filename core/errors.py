"""Errors that the user can mend: one sentence that says where, what, and what instead."""

import difflib
from collections.abc import Iterable

BAD_INPUT = 2


class UserError(Exception):
    """Something that the user gave does not work; the command line shows the message alone, without a traceback.

    Args:
        message: where, what, and what instead, in one line for each fault.
        exit_code: what the process ends with; 2 is bad input.
    """

    def __init__(self, message: str, exit_code: int = BAD_INPUT) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def require(holds: bool, message: str) -> None:
    """Raise a UserError unless the condition holds; for the range checks of a Config's `__post_init__`.

    A Config's message starts with the setting's name ("n_levels: at least 1, got 0"): reading a recipe puts the path of
    the part in front of it.
    """
    if not holds:
        raise UserError(message)


def nearest_word(word: str, words: Iterable[str]) -> str | None:
    """The valid word that the given one most likely stands for, or None where nothing is similar."""
    lowered = {valid.lower(): valid for valid in words}
    close = difflib.get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[close[0]] if close else None


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """The second half of an error on an unknown word: the nearest valid one, else all of them."""
    valid = sorted(words)
    near = nearest_word(word, valid)
    if near is not None:
        return f"Did you mean '{near}'?"
    return f"Valid: {', '.join(valid)}." if valid else "None is valid here."

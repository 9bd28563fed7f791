"""Errors that the user can mend: one sentence that says where, what, and what instead."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

#: What moves a terminal's cursor, changes its title or colours, or turns text around; and what no encoding can write.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str) -> str:
    """A text that may have come from a file, as a terminal can be given it: control characters spelt out as `\\x1b`."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class UserError(Exception):
    """Something that the user gave does not work; the command line shows the message alone, without a traceback.

    The message says where, what, and what instead, in one line for each fault.
    """

    exit_code: int = 2
    """What the process ends with."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class MachineError(UserError):
    """This machine cannot do it now: a device, disk, permission, lock, port, network or memory is missing or taken."""

    exit_code = 3


class DivergedError(UserError):
    """The training gives no finite numbers any more."""

    exit_code = 4


class PluginError(UserError):
    """A file of the user's own parts fails; its own error is the cause, and is shown with its traceback."""


class ProgramError(UserError):
    """A mistake in this program or in a user's own part, which nobody foresaw; its own error is the cause."""

    exit_code = 1


_gathered: ContextVar[list[str] | None] = ContextVar("gathered", default=None)


def require(holds: bool, message: str) -> None:
    """Raise a UserError unless the condition holds; for the range checks of a Config's `__post_init__`.

    A Config's message starts with the setting's name ("n_levels: at least 1, got 0"): reading a recipe puts the path of
    the part in front of it. While a recipe is read, faults are gathered instead, so that all are told at once: a check
    that builds on another one may then run in spite of it, and what it raises is left aside.
    """
    if holds:
        return
    gathered = _gathered.get()
    if gathered is None:
        raise UserError(message)
    gathered.append(message)


@contextmanager
def gathering() -> Iterator[list[str]]:
    """Within this block, `require` adds to the list that it gives instead of raising."""
    faults: list[str] = []
    before = _gathered.set(faults)
    try:
        yield faults
    finally:
        _gathered.reset(before)


@contextmanager
def after(faults: Sequence[str]) -> Iterator[None]:
    """Put faults that were found before in front of those that this block raises."""
    try:
        yield
    except UserError as error:
        error.args = ("\n".join([*faults, str(error)]),)
        raise


@contextmanager
def named(place: str) -> Iterator[None]:
    """Put a place in front of each fault that this block raises: "stages.1: ..."; nothing where it is empty."""
    try:
        yield
    except UserError as error:
        if place:
            error.args = ("\n".join(f"{place}: {line}" for line in str(error).splitlines()),)
        raise


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


def first_line(error: Exception) -> str:
    """What an error of another library says first; its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def first_misfit(error: RuntimeError) -> str:
    """The first of the misfits that `load_state_dict` lists, below a line that names the module's class."""
    return " ".join(str(error).splitlines()[1:2]).strip()

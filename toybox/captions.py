"""Captions of toy objects, and which pairs of object and colour never occur in training."""

import functools
import itertools
from dataclasses import dataclass

import numpy as np

from toybox.world import load_world


@dataclass(frozen=True)
class Subject:
    """An object with its named colours; `second` is None where the caption names one colour only."""

    kind: str
    main: str
    second: str | None = None

    def caption(self, view_word: str | None = None) -> str:
        """For instance "a blue house with a red roof, front view"."""
        text = f"{_article(self.main)} {self.main} {self.kind}"
        if self.second:
            part = load_world().kinds[self.kind].second
            article = "" if part in PLURALS else _article(self.second) + " "
            text += f" with {article}{self.second} {part}"
        return f"{text}, {view_word} view" if view_word else text


PLURALS = {"wings", "fins", "legs"}


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


@functools.cache
def subjects(seen: bool) -> tuple[Subject, ...]:
    """All subjects that training may use (`seen`), or all that it never meets.

    Held out are a share of the (kind, main) pairs with everything built on them, and the same share of the remaining
    (kind, main, second) triples; of every kind and every colour most pairs stay.
    """
    world = load_world()
    share = world.held_out["share"]
    rng = np.random.default_rng(int(world.held_out["seed"]))
    colours = list(world.colours)
    kinds = list(world.kinds)
    held_pairs = _spread(rng, kinds, colours, round(share * len(kinds) * len(colours)))
    kept: list[Subject] = []
    held: list[Subject] = []
    for kind, main in itertools.product(kinds, colours):
        if (kind, main) in held_pairs:
            held += [Subject(kind, main), *(Subject(kind, main, c) for c in colours if c != main)]
            continue
        kept.append(Subject(kind, main))
        for second in colours:
            if second != main:
                (held if rng.random() < share else kept).append(Subject(kind, main, second))
    return tuple(kept if seen else held)


def _spread(rng: np.random.Generator, kinds: list[str], colours: list[str], count: int) -> set[tuple[str, str]]:
    """`count` pairs, spread evenly: no kind and no colour loses more than its share (rounded up)."""
    most_kind = -(-count // len(kinds))
    most_colour = -(-count // len(colours))
    pairs = list(itertools.product(kinds, colours))
    chosen: set[tuple[str, str]] = set()
    for index in rng.permutation(len(pairs)):
        kind, colour = pairs[index]
        of_kind = sum(k == kind for k, _ in chosen)
        of_colour = sum(c == colour for _, c in chosen)
        if len(chosen) < count and of_kind < most_kind and of_colour < most_colour:
            chosen.add((kind, colour))
    return chosen


@functools.cache
def _by_kind(kind: str, two_colours: bool, seen: bool) -> tuple[Subject, ...]:
    return tuple(s for s in subjects(seen) if s.kind == kind and (s.second is not None) == two_colours)


def draw_subject(rng: np.random.Generator, kind: str, seen: bool = True, two_colours: float = 0.35) -> Subject:
    """A subject of this kind from training (or, not `seen`, from what is held out).

    Args:
        two_colours: the share of subjects with two named colours (all, where a kind has no held-out pair).
    """
    two = bool(rng.random() < two_colours)
    pool = _by_kind(kind, two, seen) or _by_kind(kind, not two, seen)
    return pool[rng.integers(len(pool))]

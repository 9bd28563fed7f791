"""What the multi-view model is asked to draw, and how its pictures agree with the cameras and with each other."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toybox.buffers import SUPERSAMPLING, View, random_view
from toybox.captions import Subject, subjects
from toybox.data import caster_of, part_colours
from toybox.judge import Verdict
from toybox.judge.exam import apart_deg
from toybox.picture_figures import interval
from toybox.shading import paint, training_light
from toybox.silhouettes import border_colour, overlap, silhouettes, visual_hull
from toybox.view_sets import N_VIEWS
from toybox.world import load_world

HULL_VIEWS = 8
WITHIN_DEG = 30.0


@dataclass(frozen=True)
class ViewRequest:
    """An object to be drawn from several cameras together."""

    subject: Subject
    views: tuple[View, ...]
    seen: bool


def view_requests(count: int, seen: bool, seed: int) -> list[ViewRequest]:
    """`count` objects of one named colour in turn over the kinds, each from N_VIEWS cameras drawn over the world's."""
    rng = np.random.default_rng((seed, seen))
    by_kind = {kind: [s for s in subjects(seen) if s.kind == kind and s.second is None] for kind in load_world().kinds}
    pools = [itertools.cycle(rng.permutation(np.array(pool, dtype=object))) for pool in by_kind.values() if pool]
    return [
        ViewRequest(next(pools[number % len(pools)]), tuple(random_view(rng) for _ in range(N_VIEWS)), seen)
        for number in range(count)
    ]


def hull_requests(seed: int) -> list[ViewRequest]:
    """Every kind once, from HULL_VIEWS cameras all around, in turn low and high."""
    rng = np.random.default_rng((seed, 2))
    asked = []
    for kind in load_world().kinds:
        pool = [s for s in subjects(True) if s.kind == kind and s.second is None]
        start = rng.uniform(0, 360)
        views = (View(40.0 if i % 2 else 10.0, start + 360 * i / HULL_VIEWS, 1.6, 47.0) for i in range(HULL_VIEWS))
        asked.append(ViewRequest(pool[rng.integers(len(pool))], tuple(views), True))
    return asked


def judge_views(asked: Sequence[ViewRequest], verdicts: Sequence[Sequence[Verdict]]) -> dict[str, Any]:
    """Shares of pictures in which object, main colour and azimuth are what was asked for; by kind and by view word.

    Args:
        verdicts: one a view, of each request.
    """
    world = load_world()
    rows = [
        (request, view, verdict)
        for request, given in zip(asked, verdicts, strict=True)
        for view, verdict in zip(request.views, given, strict=True)
    ]
    named = [verdict.kind == request.subject.kind for request, _, verdict in rows]
    words = [world.view_word(view.elevation_deg, view.azimuth_deg) for _, view, _ in rows]
    kinds = [request.subject.kind for request, _, _ in rows]
    fronts = [row for row in rows if world.kinds[row[0].subject.kind].front]
    placed = [apart_deg(verdict.azimuth_deg, view.azimuth_deg) <= WITHIN_DEG for _, view, verdict in fronts]
    of_seen, of_unseen = (
        [right for right, row in zip(named, rows, strict=True) if row[0].seen == seen] for seen in (True, False)
    )
    return {
        "object": interval(named),
        **({"object_seen": interval(of_seen)} if of_seen else {}),
        **({"object_unseen": interval(of_unseen)} if of_unseen else {}),
        "colour": interval([verdict.main == request.subject.main for request, _, verdict in rows]),
        "azimuth": interval(placed),
        "one_colour": interval([len({verdict.main for verdict in given}) == 1 for given in verdicts]),
        "object_by_kind": _by_word(kinds, named),
        "object_by_view": _by_word(words, named),
        "azimuth_by_kind": _by_word([request.subject.kind for request, _, _ in fronts], placed),
    }


def _by_word(words: Sequence[str], right: Sequence[bool]) -> dict[str, float]:
    """Share of the right ones of each word, worst first."""
    marks = {word: [r for w, r in zip(words, right, strict=True) if w == word] for word in words}
    shares = {word: round(float(np.mean(given)), 3) for word, given in marks.items()}
    return dict(sorted(shares.items(), key=lambda item: item[1]))


def true_pictures(request: ViewRequest, backgrounds: Tensor, size: int) -> Tensor:
    """The object as it is, on these backgrounds [views, 3]: [views, 3, size, size] in 0..1."""
    cast = [caster_of(request.subject.kind).cast(view, size * SUPERSAMPLING) for view in request.views]
    parts, normals = (torch.from_numpy(np.stack(arrays)) for arrays in zip(*cast, strict=True))
    count = len(request.views)
    colours = part_colours([request.subject]).expand(count, -1, -1)
    return paint(parts, normals, colours, backgrounds, training_light(count))[0]


def hull_agreement(request: ViewRequest, pictures: Tensor) -> float:
    """Overlap of the hull that the drawn silhouettes carve with that of true pictures on the same backgrounds.

    Args:
        pictures: [views, 3, size, size] in 0..1.
    """
    true = true_pictures(request, border_colour(pictures), pictures.shape[-1])
    drawn, known = (visual_hull(silhouettes(seen), request.views) for seen in (pictures, true))
    return overlap(drawn, known)

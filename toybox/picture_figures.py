"""What the model is asked to draw, and the shares of its pictures that the judge names as asked for."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toybox.captions import Subject, subjects
from toybox.judge import Verdict
from toybox.world import load_world


@dataclass(frozen=True)
class Request:
    """A picture to be asked for."""

    subject: Subject
    word: str
    seen: bool

    @property
    def caption(self) -> str:
        """The text given to the model."""
        return self.subject.caption(self.word)


def requests(count: int, seen: bool) -> list[Request]:
    """`count` requests of one named colour each, balanced over kinds, view words and (as pairs allow) colours."""
    world = load_world()
    pools = {kind: [s for s in subjects(seen) if s.kind == kind and s.second is None] for kind in world.kinds}
    kinds = [kind for kind in world.kinds if pools[kind]]
    used = dict.fromkeys(world.colours, 0)
    words = world.view_words
    asked: list[Request] = []
    for number in range(count):
        turn, place = divmod(number, len(kinds))
        pool = pools[kinds[place]]
        met = [sum(request.subject == subject for request in asked) for subject in pool]
        subject = min(zip(pool, met, strict=True), key=lambda pair: (pair[1], used[pair[0].main]))[0]
        used[subject.main] += 1
        word = words[(place + turn) % len(words)]  # each kind meets every word in turn
        asked.append(Request(subject, word, seen))
    return asked


def interval(right: Sequence[bool]) -> dict[str, float | int]:
    """Share of the right ones with Wilson's 95% interval."""
    count, share, z = len(right), float(np.mean(right)), 1.96
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return {"share": round(share, 4), "low": round(middle - half, 4), "high": round(middle + half, 4), "count": count}


def judge_pictures(asked: list[Request], verdicts: list[Verdict]) -> dict[str, dict]:
    """Shares of pictures in which object, colour and view are what was asked for."""
    world = load_world()
    pairs = list(zip(asked, verdicts, strict=True))
    placed = [
        world.view_word(0.0, verdict.azimuth_deg) == request.word
        for request, verdict in pairs
        if world.kinds[request.subject.kind].front and request.word in ("front", "side", "back")
    ]
    by_kind = {
        kind: round(float(np.mean([v.kind == kind for r, v in pairs if r.subject.kind == kind])), 3)
        for kind in world.kinds
        if any(r.subject.kind == kind for r, _ in pairs)
    }
    return {
        "object_seen": interval([v.kind == r.subject.kind for r, v in pairs if r.seen]),
        "object_unseen": interval([v.kind == r.subject.kind for r, v in pairs if not r.seen]),
        "colour": interval([v.main == r.subject.main for r, v in pairs]),
        "view": interval(placed),
        "object_by_kind": by_kind,
    }

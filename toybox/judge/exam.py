"""Pictures with their right answers, and the marks that a judge gets on them."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from toybox.judge.network import Verdict, colour_classes, object_classes
from toybox.world import load_world


@dataclass(frozen=True)
class Exam:
    """Pictures [batch, 3, SIZE, SIZE] with the right answers of every head, and what is known of them."""

    pictures: Tensor
    kind: Tensor
    main: Tensor
    second: Tensor
    azimuth: Tensor
    elevation_deg: Tensor
    has_front: Tensor


def apart_deg(one: float, other: float) -> float:
    """The angle between two azimuths, 0 to 180 degrees."""
    return abs((one - other + 180) % 360 - 180)


@dataclass
class Marks:
    """Right and wrong answers so far, by head and by word."""

    right: dict[str, list[bool]] = field(default_factory=lambda: defaultdict(list))
    words: dict[str, dict[str, list[bool]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def note(self, exam: Exam, row: int, verdict: Verdict) -> None:
        """Marks one verdict on an unspoiled picture."""
        kind, main = object_classes()[exam.kind[row]], colour_classes()[exam.main[row]]
        named, coloured = verdict.kind == kind, verdict.main == main
        azimuth = torch.atan2(*exam.azimuth[row]).rad2deg().item()
        self.right["object"].append(named)
        self.right["main"].append(coloured)
        self.right["both"].append(named and coloured)
        self.right["second"].append(verdict.second == colour_classes()[exam.second[row]])
        self.words["by_kind"][kind].append(named)
        self.words["by_colour"][main].append(coloured)
        word = load_world().view_word
        seen_from = word(exam.elevation_deg[row].item(), azimuth)
        self.words["by_view"][seen_from].append(named)
        if exam.has_front[row]:
            close = apart_deg(verdict.azimuth_deg, azimuth) <= 30
            self.right["azimuth"].append(close)
            self.words["azimuth_by_kind"][kind].append(close)
        if exam.has_front[row] and seen_from in ("front", "side", "back"):
            self.right["view"].append(word(0.0, verdict.azimuth_deg) == seen_from)

    def shares(self) -> dict[str, Any]:
        """Shares of right answers by head; then by word, worst first."""
        heads: dict[str, Any] = {name: round(float(np.mean(marks)), 4) for name, marks in self.right.items()}
        for name, by_word in self.words.items():
            shares = {word: round(float(np.mean(marks)), 3) for word, marks in by_word.items()}
            heads[name] = dict(sorted(shares.items(), key=lambda item: item[1]))
        return heads

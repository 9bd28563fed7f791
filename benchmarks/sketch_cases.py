"""What the sketch benchmark trains: sketches, prompts, leniences, seeds. Fixed before anything was trained."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import trimesh

from benchmarks.machine import ROOT
from core.files import write_whole
from sketches.build import joined, obj_text
from toybox.captions import Subject
from toybox.scenes import build

Question = Literal["conformity", "influence", "completion"]
LENIENCES = (0.05, 0.1, 0.3, 1.0)
SEEDS = (0, 1)
#: Sketches with parts at least 0.15 thick. A mushroom is no animal on four legs: that prompt disagrees.
CONFORMITY = (
    ("figure", Subject("robot", "yellow")),
    ("chair", Subject("chair", "blue")),
    ("animal", Subject("mushroom", "red")),
)
#: Two sketches that both fit the word: thick slabs, and the toy world's own chair with its thin legs.
INFLUENCE = (("chair", Subject("chair", "blue")), ("canonical-chair", Subject("chair", "blue")))
#: A partial sketch, and the box that the prompt is to fill.
COMPLETION = (
    ("half-mug", Subject("mug", "orange"), ((-0.6, -0.6, -0.6), (-0.1, 0.6, 0.6))),
    ("car-without-front", Subject("car", "purple"), ((-0.6, -0.6, 0.1), (0.6, 0.6, 0.6))),
    ("house-without-roof", Subject("house", "red"), ((-0.6, 0.06, -0.6), (0.6, 0.6, 0.6))),
)
#: Of these, what is hollow; for the others, the recipe says to leave out the term that empties things from above.
HOLLOW = ("half-mug",)
QUICK_STEPS = 200

Corners = tuple[tuple[float, float, float], tuple[float, float, float]]


@dataclass(frozen=True)
class SketchCase:
    """One training."""

    question: Question
    sketch: str
    subject: Subject
    lenience: float
    seed: int
    box: Corners | None = None
    """The part that is to be completed, in the world's coordinates."""
    steps: int | None = None
    """Fewer than the recipe's, for a quick look."""

    @property
    def name(self) -> str:
        """For tables and messages."""
        return f"{self.subject.caption()} on {self.sketch}, lenience {self.lenience:g}, seed {self.seed}"

    @property
    def recipe(self) -> Path:
        """The recipe that is trained."""
        name = "shape-completion" if self.question == "completion" else "sketch-shape"
        return ROOT / "configs" / f"{name}.yaml"

    def overrides(self, work: Path) -> list[str]:
        """Settings on top of the recipe; a canonical sketch is written to the work folder."""
        settings = [
            f"seed={self.seed}",
            f"system.losses.sketch.path={self._file(work)}",
            f"system.losses.sketch.lenience={self.lenience}",
        ]
        if self.sketch.startswith("canonical-"):
            settings += ["system.losses.sketch.center=none", "system.losses.sketch.scale=none"]
        if self.box is not None:
            settings.append(f"system.losses.sketch.complete_box={[list(corner) for corner in self.box]}")
            if self.sketch not in HOLLOW:
                settings.append("system.losses.density=null")
        return settings if self.steps is None else [*settings, f"trainer.max_steps={self.steps}"]

    def _file(self, work: Path) -> Path:
        if not self.sketch.startswith("canonical-"):
            return ROOT / "sketches" / f"{self.sketch}.obj"
        path = (work / f"{self.sketch}.obj").resolve()
        text = obj_text(canonical_mesh(self.subject.kind))
        if not path.is_file() or path.read_text() != text:
            write_whole(path, text)
        return path


def canonical_mesh(kind: str) -> trimesh.Trimesh:
    """The toy world's own object as one closed mesh."""
    return joined([part.mesh for part in build(kind).parts])


def cases(quick: bool = False) -> list[SketchCase]:
    """All trainings, or a quick look at two leniences."""
    if quick:
        sketch, subject = CONFORMITY[0]
        return [SketchCase("conformity", sketch, subject, lenience, 0, steps=QUICK_STEPS) for lenience in (0.05, 1.0)]
    conformity = [
        SketchCase("conformity", sketch, subject, lenience, seed)
        for lenience in LENIENCES
        for sketch, subject in CONFORMITY
        for seed in SEEDS
    ]
    influence = [SketchCase("influence", sketch, subject, 0.1, 0) for sketch, subject in INFLUENCE]
    completion = [SketchCase("completion", sketch, subject, 0.05, 0, box) for sketch, subject, box in COMPLETION]
    return [*conformity, *influence, *completion]

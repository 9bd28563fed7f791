"""The twelve prompts of the quality benchmark: one named colour each, pairs that training met and pairs it never met.

They were fixed before the model was trained: at least five kinds have thin or holed parts, five a clear front.
"""

from dataclasses import dataclass

from toybox.captions import Subject, subjects
from toybox.world import Kind, load_world

SUBJECTS = (
    Subject("mushroom", "red"),
    Subject("chair", "white"),
    Subject("airplane", "blue"),
    Subject("mug", "orange"),
    Subject("car", "purple"),
    Subject("duck", "yellow"),
    Subject("lamp", "blue"),
    Subject("cactus", "green"),
    Subject("donut", "pink"),
    Subject("table", "brown"),
    Subject("house", "red"),
    Subject("robot", "yellow"),
)
QUICK = SUBJECTS[:2]


@dataclass(frozen=True)
class ToyPrompt:
    """One prompt and what is known of its object."""

    subject: Subject

    @property
    def text(self) -> str:
        """What is given as --prompt."""
        return self.subject.caption()

    @property
    def kind(self) -> Kind:
        """Whether it has a clear front, thin or holed parts."""
        return load_world().kinds[self.subject.kind]

    @property
    def seen(self) -> bool:
        """Whether the model's training data held this pair of object and colour."""
        return self.subject in subjects(True)


def toy_prompts(names: str = "", quick: bool = False) -> tuple[ToyPrompt, ...]:
    """All prompts, or the two quick ones, or those of which a word of `names` (split at commas) names the object.

    Raises:
        ValueError: a name that is none of the objects.
    """
    chosen = QUICK if quick else SUBJECTS
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    known = [subject.kind for subject in SUBJECTS]
    if unknown := [name for name in wanted if name not in known]:
        raise ValueError(f"--only {','.join(unknown)}: not in the benchmark; its objects are {', '.join(known)}")
    if wanted:
        chosen = tuple(subject for subject in SUBJECTS if subject.kind in wanted)
    return tuple(ToyPrompt(subject) for subject in chosen)

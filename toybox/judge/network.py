"""A small convolutional classifier with four heads: object, main colour, second colour, azimuth."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from toybox.world import load_world

FOLDER = Path(__file__).parent
SIZE = 64  # side of the pictures that the network sees
NOTHING = "nothing"  # the class of blobs, halves, merged and incomplete objects
OWN = "own"  # the second colour's class where the caption names none
N_DIRECTIONS = 24  # of the azimuth head
WINDOW = 2  # directions on either side of the likeliest one that count as the same answer


@dataclass(frozen=True)
class Verdict:
    """What the judge says of one picture.

    Attributes:
        kind: an object's word, or NOTHING.
        confidence: the probability of `kind`.
        main, second: colours' words (`second` may be OWN). They mean little where `kind` is NOTHING.
        azimuth_deg: the side it is seen from, in (-180, 180]; meaningful for kinds with a clear front only.
    """

    kind: str
    confidence: float
    main: str
    second: str
    azimuth_deg: float


def object_classes() -> tuple[str, ...]:
    """The words of the object head, in the order of its outputs."""
    return (*load_world().kinds, NOTHING)


def colour_classes() -> tuple[str, ...]:
    """The words of the second-colour head; the main-colour head has all but the last."""
    return (*load_world().colours, OWN)


def directions_deg() -> Tensor:
    """The azimuths that the azimuth head tells apart, [N_DIRECTIONS]."""
    return torch.arange(N_DIRECTIONS) * (360.0 / N_DIRECTIONS)


def likeliest_azimuth(logits: Tensor) -> Tensor:
    """(sin, cos) of the likeliest azimuth, [batch, 2], not normalised.

    A side view whose front cannot be told from its rear is as likely to be from 90 degrees as from -90. A head that
    gave one (sin, cos) would answer with their mean, which is the front or the back; the likelier of the two is right
    half of the time, and is a side view either way.

    Args:
        logits: of `directions_deg`, [batch, N_DIRECTIONS].
    """
    shares = logits.softmax(dim=1)
    around = F.pad(shares[:, None], (WINDOW, WINDOW), mode="circular")[:, 0].unfold(1, 2 * WINDOW + 1, 1)
    best = around.sum(dim=2).argmax(dim=1)
    near = around[torch.arange(len(logits)), best]
    steps = torch.arange(-WINDOW, WINDOW + 1, device=logits.device)
    angles = ((best[:, None] + steps) * (360.0 / N_DIRECTIONS)).deg2rad()
    return torch.stack([(near * angles.sin()).sum(dim=1), (near * angles.cos()).sum(dim=1)], dim=1)


class _Block(nn.Module):
    """Two convolutions with a shortcut; the first halves the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.relu(self.first_norm(self.first(x)))
        inner = self.second_norm(self.second(inner))
        return F.relu(inner + self.shortcut(F.avg_pool2d(x, 2)))


class Judge(nn.Module):
    """Pictures [batch, 3, any height, any width] in 0..1 to logits of every head.

    The last map keeps its 4x4 places: an average over them would forget which end of a car is where.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 5, stride=2, padding=2)
        self.blocks = nn.Sequential(_Block(32, 64), _Block(64, 96), _Block(96, 128))
        self.hidden = nn.Linear(128 * 4 * 4, 256)
        n_colours = len(load_world().colours)
        self.heads = nn.ModuleDict(
            {
                "kind": nn.Linear(256, len(object_classes())),
                "main": nn.Linear(256, n_colours),
                "second": nn.Linear(256, n_colours + 1),
                "azimuth": nn.Linear(256, N_DIRECTIONS),
            }
        )

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Logits by head; those of "azimuth" belong to `directions_deg`."""
        if pictures.shape[-2:] != (SIZE, SIZE):
            pictures = F.interpolate(pictures, (SIZE, SIZE), mode="area")
        features = self.blocks(F.relu(self.stem(pictures * 2 - 1)))
        features = F.relu(self.hidden(features.flatten(1)))
        return {name: head(features) for name, head in self.heads.items()}

    @torch.no_grad()
    def verdicts(self, pictures: Tensor) -> list[Verdict]:
        """One verdict per picture.

        Args:
            pictures: [batch, 3, height, width] in 0..1.
        """
        logits = {name: value.float().cpu() for name, value in self(pictures).items()}
        confidence, kind = logits["kind"].softmax(dim=1).max(dim=1)
        azimuth = torch.atan2(*likeliest_azimuth(logits["azimuth"]).unbind(dim=1)).rad2deg()
        main, second = logits["main"].argmax(dim=1), logits["second"].argmax(dim=1)
        objects, colours = object_classes(), colour_classes()
        return [
            Verdict(objects[k], float(c), colours[m], colours[s], float(a))
            for k, c, m, s, a in zip(kind, confidence, main, second, azimuth, strict=True)
        ]

    def save(self, folder: Path, facts: dict) -> None:
        """Writes the weights (float16), and facts of their training beside them."""

        def half(value: Tensor) -> Tensor:
            return (value.half() if value.is_floating_point() else value).contiguous()

        save_file({name: half(value) for name, value in self.state_dict().items()}, folder / "judge.safetensors")
        (folder / "judge.json").write_text(json.dumps(facts, indent=2) + "\n")


@functools.cache
def load_judge() -> Judge:
    """The trained judge, ready to use.

    Raises:
        FileNotFoundError: it has not been trained yet (`python -m toybox.judge.train`).
    """
    judge = Judge()
    judge.load_state_dict(load_file(FOLDER / "judge.safetensors"))
    return judge.eval().requires_grad_(False)

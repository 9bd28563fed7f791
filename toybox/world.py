"""The toy world's numbers, read from `toybox/model/world.json`: the one place where data, judge and recipes meet."""

import functools
import json
from dataclasses import dataclass
from pathlib import Path

MODEL_FOLDER = Path(__file__).parent / "model"
MULTIVIEW_FOLDER = Path(__file__).parent / "multiview"
CONTROL_FOLDER = Path(__file__).parent / "depth"


@dataclass(frozen=True)
class Kind:
    """What a kind of object is known for: its second part's word, whether it has a clear front, thin or holed parts."""

    second: str
    front: bool
    thin: bool


@dataclass(frozen=True)
class Light:
    """The lamp of the training pictures and the hemisphere around it (shading.py).

    Attributes:
        direction: toward the lamp, not of unit length.
        ambient_sky, ambient_ground, diffuse: brightness from above, from below, and of the lamp.
        jitter: how far the lamp strays in training, per axis.
    """

    direction: tuple[float, float, float]
    ambient_sky: float
    ambient_ground: float
    diffuse: float
    jitter: float


@dataclass(frozen=True)
class World:
    """Ranges, colours and words of the toy world.

    Attributes:
        object_radius: every object fits a ball of this radius around the origin, world units.
        cameras: (low, high) of `elevation_deg`, `radius` (world units) and `fovy_deg`.
        view_bins: `overhead_deg`, `bottom_deg` and `front_half_width_deg`, as in METHOD.md section 3.
        backgrounds, colours: RGB in 0..1 by name.
        kinds: by name.
        held_out: share and seed of what never occurs in training.
    """

    object_radius: float
    cameras: dict[str, tuple[float, float]]
    view_bins: dict[str, float]
    view_words: tuple[str, ...]
    light: Light
    backgrounds: dict[str, tuple[float, ...]]
    colours: dict[str, tuple[float, ...]]
    kinds: dict[str, Kind]
    held_out: dict[str, float]
    vocabulary: tuple[str, ...]

    def view_word(self, elevation_deg: float, azimuth_deg: float) -> str:
        """The word for a view; the first that fits of overhead, bottom, front, back, side."""
        if elevation_deg >= self.view_bins["overhead_deg"]:
            return "overhead"
        if elevation_deg <= self.view_bins["bottom_deg"]:
            return "bottom"
        from_front = abs((azimuth_deg + 180.0) % 360.0 - 180.0)
        if from_front <= self.view_bins["front_half_width_deg"]:
            return "front"
        if from_front >= 180.0 - self.view_bins["front_half_width_deg"]:
            return "back"
        return "side"


@functools.cache
def load_world() -> World:
    """The world of the bundled model.

    Raises:
        FileNotFoundError: the model folder lacks world.json.
    """
    raw = json.loads((MODEL_FOLDER / "world.json").read_text())
    return World(
        object_radius=raw["object_radius"],
        cameras={name: (low, high) for name, (low, high) in raw["cameras"].items()},
        view_bins=raw["view_bins"],
        view_words=tuple(raw["view_words"]),
        light=Light(**{**raw["light"], "direction": tuple(raw["light"]["direction"])}),
        backgrounds={name: tuple(rgb) for name, rgb in raw["backgrounds"].items()},
        colours={name: tuple(rgb) for name, rgb in raw["colours"].items()},
        kinds={name: Kind(**kind) for name, kind in raw["kinds"].items()},
        held_out=raw["held_out"],
        vocabulary=tuple(raw["vocabulary"]),
    )

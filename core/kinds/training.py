"""What is trained and what becomes of it: losses, systems, exporters."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from torch import Generator, Tensor, nn

from core.chance import ALONE, Rank, rank_of
from core.environment import FromEnvironment
from core.kinds.guidance import Guidance, Views
from core.kinds.scene import Background, Extra, Geometry, Renderer
from core.part import Part
from core.schedule import Schedule, require_values
from core.types import Cameras, RenderOutput, ShapeLook


@dataclass(frozen=True)
class TrainingStep:
    """What a loss sees of one training step."""

    render: RenderOutput
    """What was rendered with gradient."""
    cameras: Cameras
    """Of that rendering."""
    geometry: Geometry
    renderer: Renderer
    """Which made the rendering; for losses that render something else from the same cameras."""
    step: int
    total_steps: int
    rng: Generator

    @property
    def rank(self) -> Rank:
        """Which of several processes, with a part of the step's views each; means over samples take its `weight`."""
        return rank_of(self.rng)


class Loss(Part, nn.Module, kind="loss"):
    """A term of the training's loss. Constructor: `(config, geometry, renderer)`, for what it needs to know of them.

    A recipe names its losses as it likes: `losses: {hollow: {type: density, weight: 0.02}}`. All terms are means (over
    views and pixels, rays, or samples), so that a weight means the same at every size and precision.
    """

    @dataclass(frozen=True)
    class Config:
        """What every loss has; a loss's own Config subclasses this one."""

        weight: Schedule = field(default_factory=lambda: Schedule.constant(1.0), kw_only=True)
        """What the term is multiplied by; at 0 it is not computed."""

        def __post_init__(self) -> None:
            require_values("weight", self.weight)

    config: Any
    needs: Set[Extra] = frozenset()
    """What a rendering must hold for it: "samples", "normals", "depth"."""
    to_input: Float[np.ndarray, "4 4"] | None = None
    """From the world to the coordinates of the file that the shape follows, where there is one (p' = M p)."""
    shape: ShapeLook | None = None
    """The mesh of that file."""

    def __init__(self, config: Any, geometry: Geometry, renderer: Renderer) -> None:
        super().__init__()
        self.config = config

    @abstractmethod
    def forward(self, now: TrainingStep) -> Float[Tensor, ""]:
        """The term at this step, not yet weighed."""

    def begin(self, geometry: Geometry) -> None:
        """The training begins with another run's result, which `geometry` holds by now; not called on resume."""


class System(Part, kind="system"):
    """A method: what one training step computes. Constructor: `(config, prompt, seed, total_steps)`.

    It builds its parts and checks that they fit each other. The training loop belongs to the app; systems/base.py joins
    this promise to a LightningModule.
    """

    geometry: Geometry
    background: Background
    renderer: Renderer
    guidance: Guidance
    views: Views
    config: Any
    prompt: str
    seed: int
    total_steps: int
    to_input: Float[np.ndarray, "4 4"] | None = None
    """From the world to the coordinates of the file that the shape follows, where there is one (p' = M p). It turns,
    scales and moves; it does not mirror."""
    settings_of_jobs: ClassVar[Mapping[str, str]] = {}
    """What the columns `shape` (a mesh) and `texture` (a picture, or own-texture) of a jobs file set."""
    rank: Rank = ALONE
    """Which of the processes that train it this is; each has a part of a step's views."""
    divides_views: ClassVar[bool] = True
    """Whether processes can share a step: its loss is a mean over views."""
    environment: Sequence[FromEnvironment] = ()
    """What of prompt and settings names the environment; files that it is written to hold the name alone."""

    @abstractmethod
    def set_up(self) -> None:
        """What happens once, when the system is on its device: the prompt is embedded, flat backgrounds are encoded."""

    @abstractmethod
    def compute_loss(self, step: int, rng: Generator) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """One training step: the weighed sum of the loss terms, and numbers for the log by name, detached."""

    @abstractmethod
    def validation_cameras(self, n_views: int, size: int) -> Cameras:
        """Fixed views around the object, the same at every call, in pictures of size x size latents."""

    @abstractmethod
    def surrounding_cameras(self, n_views: int, size: int) -> Cameras:
        """Fixed views that see the object from all sides, spread evenly."""

    @abstractmethod
    def render(
        self, cameras: Cameras, with_normals: bool = False, background: Background | None = None
    ) -> RenderOutput:
        """Views for people and exporters: no gradient, and the training's random stream is left alone.

        Args:
            background: another one than the system's own.
        """

    @abstractmethod
    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Rendered latents to pictures, RGB in [0, 1], no gradient."""


class Exporter(Part, kind="exporter"):
    """Turns what was trained into files. Constructor: `(config)`."""

    def accepts(self, system: System) -> str | None:
        """Why it has nothing to make of such a system, and what would do; None where it fits. Asked before training."""
        return None

    @abstractmethod
    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Write files into the run's folder, each whole or not at all, and give their paths."""

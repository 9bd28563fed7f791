"""What is trained, how long, and what becomes of it: losses, systems, the trainer, exporters."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float
from torch import Generator, Tensor, nn

from core.chance import ALONE, Rank, rank_of
from core.environment import FromEnvironment, as_shown
from core.errors import require
from core.kinds.guidance import Guidance, Views
from core.kinds.scene import Background, Extra, Geometry, Renderer
from core.memory import PICTURE, require_size
from core.part import Part, names
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
    """Matrix M from world coordinates p to those of the file that the shape follows, p' = M p; None without a file."""
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
    """Matrix M from world coordinates p to those of the file that the shape follows, p' = M p; None without a file. It
    turns, scales and moves; it does not mirror."""
    settings_of_jobs: ClassVar[Mapping[str, str]] = {}
    """The settings that a jobs file's columns `shape` (a mesh) and `texture` (a picture, or own-texture) fill in."""
    rank: Rank = ALONE
    """Which of the processes that train it this is; each has a part of a step's views."""
    divides_views: ClassVar[bool] = True
    """Whether processes can share a step: its loss is a mean over views."""
    environment: Sequence[FromEnvironment] = ()
    """Settings given as `${oc.env:NAME}`; files that are written hold the variable's name, not its value."""

    @property
    def shown_prompt(self) -> str:
        """The prompt as it is written down and shown."""
        return as_shown(self.prompt, self.environment, "prompt")

    def take_less_memory(self) -> bool:
        """Let the renderer and the guidance do with less."""
        can_renderer, can_guidance = self.renderer.take_less_memory(), self.guidance.take_less_memory()
        return can_renderer or can_guidance

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


@dataclass(frozen=True)
class TrainerConfig:
    """How long to train, and what to show and keep on the way."""

    max_steps: int = 1000
    """Optimiser steps."""
    precision: Literal["auto", "32-true", "16-mixed", "bf16-mixed"] = "auto"
    """Lightning's name; `auto` is 16-mixed on a GPU and 32-true on a CPU."""
    preview_every: int = 250
    """Steps between contact sheets; 0 for none before the end."""
    checkpoint_every: int = 250
    """Steps between checkpoints; 0 for none but those by the clock and at the end."""
    checkpoint_minutes: float = 10.0
    """Minutes between checkpoints, where steps are slow; 0 for none by the clock."""
    n_preview_views: int = 4
    """Views on a contact sheet."""
    logger: tuple[Literal["csv", "tensorboard", "wandb"], ...] = ("csv",)
    """Where losses and previews go; csv is the run's metrics.csv, which its report draws."""
    gradient_clip: float | None = None
    """Largest norm of the gradient, or null for no limit."""
    devices: int = 1
    """Processes that divide the views of each step among them, with a GPU each; on a CPU they divide its cores."""

    def __post_init__(self) -> None:
        require(1 <= self.max_steps <= 10**9, f"max_steps: from 1 to 10^9, got {self.max_steps}")
        require(self.preview_every >= 0, f"preview_every: at least 0, got {self.preview_every}")
        require(self.checkpoint_every >= 0, f"checkpoint_every: at least 0, got {self.checkpoint_every}")
        require(self.checkpoint_minutes >= 0, f"checkpoint_minutes: at least 0, got {self.checkpoint_minutes:g}")
        require(1 <= self.devices <= 1024, f"devices: from 1 to 1024, got {self.devices}")
        require_size("n_preview_views", self.n_preview_views, self.n_preview_views * PICTURE)
        clip = self.gradient_clip
        require(clip is None or clip > 0, f"gradient_clip: above 0, or null for no limit, got {clip}")


class Exporter(Part, kind="exporter"):
    """Turns what was trained into files. Constructor: `(config)`."""

    takes: ClassVar[type[Part]] = System
    """What it can export: systems of this class, or, where it is a class of geometries, systems with such a geometry.
    Checked when a recipe is read."""
    writes: ClassVar[tuple[str, ...]] = ("*",)
    """Names of the files that it may write, with `*` for any characters; a later stage can only read such files."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @classmethod
    def misfit(cls, system: type[Part], geometry: type[Part] | None) -> str | None:
        """Why it can export no such system, by its class and that of its geometry, if any; None where it fits."""
        found = system if geometry is None or cls.takes.kind == system.kind else geometry
        if issubclass(found, cls.takes):
            return None
        return f"cannot export '{found.part_name}'; it takes: {', '.join(names(cls.takes.kind, cls.takes))}"

    def accepts(self, system: System) -> str | None:
        """Why it can export nothing of this system, for reasons other than `takes`, and what to do; None where it fits.

        Asked when a run is built, before it is trained.
        """
        return None

    @abstractmethod
    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Write files into the run's folder, each whole or not at all, and give their paths."""

"""What each kind of part promises; its docstring says what a part's constructor takes beside the Config.

Plain abstract classes, no Lightning. A part's `forward` is a function of its arguments: what changes over time is given
(`step`), and so is chance (`rng`). Parts store no device; their tensors are born on their input's device.
"""

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from core.part import Part
from core.types import Cameras, FieldOutput, GuidanceOutput, RenderOutput
from core.world import World


class Geometry(Part, nn.Module, kind="geometry"):
    """A trained shape and its appearance. Constructor: `(config, n_channels)`, the channels of what it shows."""

    n_channels: int
    """Channels of latents (or RGB) that it shows."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser: {"params": [...], "lr": ...}; every trained parameter is in exactly one."""
        return [{"params": list(self.parameters())}]

    def advance(self, step: int, total_steps: int) -> None:
        """Take what the recipe lets change over the training; called once before each training step.

        Such state is a buffer: a checkpoint keeps it, and whoever reads one finds the geometry as training left it.
        """


class DensityField(Geometry):
    """A volume: density and features at every point."""

    bound: float
    """Radius of the ball around the origin outside of which the density is 0."""

    @abstractmethod
    def forward(self, positions: Float[Tensor, "points 3"]) -> FieldOutput:
        """Density and features at points in world space."""

    def density(self, positions: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Density alone; override it where that is cheaper."""
        return self(positions).density


class TexturedSurface(Geometry):
    """A fixed mesh with a learnable texture."""

    vertices: Float[Tensor, "vertices 3"]
    faces: Tensor
    """Three vertex indices per face."""
    corner_uv: Float[Tensor, "faces 3 2"]
    """Where each corner of each face lies in the texture: u to the right, v upward, repeating beyond [0, 1]."""

    @abstractmethod
    def forward(
        self, uv: Float[Tensor, "points 2"], footprint: Float[Tensor, "points"]
    ) -> Float[Tensor, "points channels"]:
        """The texture at UV coordinates, averaged over squares of side `footprint` (in UV units)."""


class Background(Part, nn.Module, kind="background"):
    """What is seen where the object is not. Constructor: `(config, n_channels)`."""

    @abstractmethod
    def forward(
        self, directions: Float[Tensor, "views height width 3"], rng: Generator
    ) -> Float[Tensor, "views height width channels"]:
        """The background behind every ray of unit direction."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser, none for a background that does not learn."""
        return [{"params": list(self.parameters())}] if list(self.parameters()) else []


class Renderer(Part, nn.Module, kind="renderer"):
    """Pictures of a geometry. Constructor: `(config, geometry)`.

    It refuses a geometry that does not fit and names what does.
    """

    @abstractmethod
    def forward(
        self, geometry: Geometry, background: Background, cameras: Cameras, rng: Generator, with_normals: bool = False
    ) -> RenderOutput:
        """Render all views. `rng` moves samples and draws backgrounds; normals are made only when asked for."""

    def prepare(self, geometry: Geometry, step: int, rng: Generator) -> None:
        """Refresh state that follows the geometry (an occupancy grid); called once before each training step."""


class Guidance(Part, nn.Module, kind="guidance"):
    """Says how rendered latents should change. Constructor: `(config)`. Its own parameters are frozen."""

    world: World | None = None
    """What the model was trained to see, where it says so."""
    known_cameras: Cameras | None = None
    """The only cameras that it has an opinion on, where these are few; training views are then drawn from them."""
    decodes_points: bool = False
    """Whether `decode` works pixel by pixel, because its latents are RGB by another name."""

    @abstractmethod
    def prepare(self, prompt: str) -> None:
        """Take the prompt, once, before training: embeddings are computed here."""

    @abstractmethod
    def forward(
        self,
        latents: Float[Tensor, "views height width channels"],
        cameras: Cameras,
        step: int,
        total_steps: int,
        rng: Generator,
    ) -> GuidanceOutput:
        """A loss whose gradient moves the latents toward what the prompt asks for."""

    @property
    @abstractmethod
    def latent_channels(self) -> int:
        """Channels of a latent picture."""

    @property
    @abstractmethod
    def latent_size(self) -> int:
        """Height and width at which the model works, in latents."""

    @property
    @abstractmethod
    def picture_size(self) -> int:
        """Height and width of the pictures that such latents decode to, in pixels."""

    @abstractmethod
    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Latents to pictures, RGB in [0, 1]."""

    @abstractmethod
    def encode(self, rgb: Float[Tensor, "views rows columns 3"]) -> Float[Tensor, "views height width channels"]:
        """Pictures, RGB in [0, 1], to latents (the mean, not a draw)."""


class System(Part, kind="system"):
    """A method: what one training step computes. Constructor: `(config, prompt, seed, total_steps)`.

    It builds its parts and checks that they fit each other. The training loop belongs to the app; systems/base.py joins
    this promise to a LightningModule.
    """

    geometry: Geometry
    background: Background
    renderer: Renderer
    guidance: Guidance
    config: Any
    prompt: str
    seed: int
    total_steps: int

    @property
    def decodes_points(self) -> bool:
        """Whether `decode` works pixel by pixel, so that a field's features at a point are a colour by themselves."""
        return self.guidance.decodes_points

    @abstractmethod
    def prepare(self) -> None:
        """What happens once, when the system is on its device: the prompt is embedded, flat backgrounds are encoded."""

    @abstractmethod
    def losses(self, cameras: Cameras, step: int, rng: Generator) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """One training step: the loss terms by name, not yet weighted, and numbers for the log."""

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
        """Why it cannot export this system, as the end of a sentence that begins with its name; None where it can.

        Asked before the training, of a system that is built.
        """
        return None

    @abstractmethod
    def export(self, system: System, run_folder: Path) -> list[Path]:
        """Write files into the run's folder, each whole or not at all, and give their paths."""


def device_of(module: nn.Module) -> torch.device:
    """Where a part lives: the device of its first parameter or buffer, the CPU where it has none."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")

"""What is shown and how: geometry, background, renderer."""

from abc import abstractmethod
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Bool, Float
from torch import Generator, Tensor, nn

from core.continuation import copy_trained
from core.errors import UserError
from core.part import Part
from core.types import Cameras, FieldOutput, LinearColour, RenderOutput, ShapeLook

#: Pictures, RGB in [0, 1], (views rows columns 3), to latents (views height width channels).
Encode = Callable[[Tensor], Tensor]
#: What a rendering may hold beside latents, opacity and foreground.
Extra = Literal["samples", "normals", "depth"]


class Geometry(Part, nn.Module, kind="geometry"):
    """A trained shape and its appearance. Constructor: `(config, n_channels)`, the channels of what it shows."""

    n_channels: int
    """Channels of latents (or RGB) that it shows."""
    free_settings: ClassVar[tuple[str, ...]] = ("learning_rate", "backend")
    """Endings of the names of settings in which a run may differ from the one that it begins with."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser: {"params": [...], "lr": ...}; every trained parameter is in exactly one."""
        return [{"params": list(self.parameters())}]

    def start_from(self, other: "Geometry", colour: LinearColour | None = None) -> None:
        """Begin with what another run has trained: here, the tensors of the same part with the same settings.

        Args:
            colour: turns the other's latents into the colours that this one shows; None where both show the same.

        Raises:
            UserError: it does not fit; the line names the settings that differ, as they are to be given.
        """
        if colour is not None:
            raise UserError(f"--from: '{self.part_name}' cannot show another run's latents as colours; use rgb-field")
        copy_trained(self, other, self.free_settings)


class DensityField(Geometry):
    """A volume: density and features at every point."""

    bound: float
    """Radius of the ball around the origin outside of which the density is 0."""

    @abstractmethod
    def forward(self, positions: Float[Tensor, "points 3"]) -> FieldOutput:
        """Density and features at points in world space."""

    def density(self, positions: Float[Tensor, "points 3"]) -> Float[Tensor, "points"]:
        """Density alone; override it where that is cheaper."""
        if not isinstance(output := self(positions), FieldOutput):
            raise self.wrong_result(output, "forward: FieldOutput")
        return output.density


@dataclass(frozen=True)
class FirstLook:
    """What a surface shows before it is painted: the method encodes views of it and fits a texture to them."""

    texture: Float[Tensor, "rows columns 3"]
    """RGB in [0, 1]."""
    corner_uv: Float[Tensor, "faces 3 2"] | None = None
    """Texture coordinates of that picture; None: the surface's own."""
    is_lit: bool = False
    """Whether light falls on it, which shows edges that one colour hides."""
    is_own: Bool[Tensor, "rows columns"] | None = None
    """Texels of faces that are not painted, which are drawn without light; None: all faces are painted."""


class TexturedSurface(Geometry):
    """A fixed mesh with a learnable texture."""

    vertices: Float[Tensor, "vertices 3"]
    faces: Tensor
    """Three vertex indices per face."""
    corner_uv: Float[Tensor, "faces 3 2"]
    """Texture coordinates of each corner of each face: u to the right, v upward, repeating beyond [0, 1]."""
    texture_size: int
    """Texels along each side."""

    @abstractmethod
    def forward(
        self, uv: Float[Tensor, "points 2"], footprint: Float[Tensor, "points"]
    ) -> Float[Tensor, "points channels"]:
        """The texture at UV coordinates, averaged over squares of side `footprint` (in UV units)."""

    def first_look(self) -> FirstLook | None:
        """What the texture is to show at first; None where it has begun already, or begins by itself."""
        return None

    def restart(self, texture: Float[Tensor, "*rows_columns channels"]) -> None:
        """Take another texture, whatever was there: a whole one, or one texel for all."""
        raise NotImplementedError(f"'{self.part_name}' has a first_look(), so it needs restart()")


class Background(Part, nn.Module, kind="background"):
    """What is seen where the object is not. Constructor: `(config, n_channels)`."""

    n_together: int = 1
    """Size of a set: as many views in a row as guidance looks at together get one background. Set by the system, as
    its views have it."""

    @abstractmethod
    def forward(
        self, directions: Float[Tensor, "views height width 3"], rng: Generator
    ) -> Float[Tensor, "views height width channels"]:
        """The background behind every ray of unit direction."""

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser, none for a background that does not learn."""
        return trained_groups(self)

    def encode_colours(
        self,
        encode: Encode,
        picture_size: int,
        known: Float[Tensor, "known 3"] | None,
        device: torch.device,
        further_sizes: Sequence[int] = (),
    ) -> None:
        """Encode flat colours, where the background shows such; called once, before anything is rendered.

        Args:
            picture_size: height and width of the pictures to encode, in pixels.
            known: the colours that the diffusion model was trained with, where it says so.
            further_sizes: of pictures that training begins with, where it begins with smaller ones.
        """

    def start_from(self, other: "Background", colour: LinearColour | None = None) -> None:
        """Begin with what another run has trained; nothing for a background that does not learn.

        Args:
            colour: turns the other's latents into colours; None where both show the same.
        """


class Renderer(Part, nn.Module, kind="renderer"):
    """Pictures of a geometry. Constructor: `(config, geometry)`.

    It refuses a geometry that does not fit and names what does.
    """

    gives: ClassVar[Set[Extra]] = frozenset({"normals", "depth"})
    """What its renderings can hold, for losses that ask."""

    @abstractmethod
    def forward(
        self, geometry: Geometry, background: Background, cameras: Cameras, rng: Generator, with_normals: bool = False
    ) -> RenderOutput:
        """Render all views. `rng` moves samples and draws backgrounds; normals are made only when asked for."""

    def refresh(self, geometry: Geometry, step: int, rng: Generator) -> None:
        """Update state that follows the geometry (an occupancy grid); called once before each training step."""

    def shape(self, geometry: Geometry) -> ShapeLook | None:
        """The mesh that it shows, whatever is painted on it; None where there is none."""
        return None

    def never_skip(self, cells: Callable[[float, int], Bool[Tensor, "cells cells cells"]]) -> None:
        """Always sample these cells, even where they seem to be empty; no effect on a renderer that skips nothing.

        Args:
            cells: gives, for (half of the cube's side in world units, cells along each axis), the cells to show.
        """

    def draw_ahead(self, geometry: Geometry, cameras: Cameras, wait: bool = False) -> None:
        """Compute what does not change, such as visible surface points, for cameras that will be used repeatedly.

        Args:
            wait: return when that is done; else it is done in the background, beside the training.
        """

    def stop_drawing_ahead(self) -> None:
        """End the background work of `draw_ahead`; called when the training ends."""

    def learn_encoding(self, encode: Encode, cameras: Cameras, picture_size: int, rng: Generator) -> None:
        """Learn what the autoencoder makes of this geometry's outlines, where the renderer imitates it; called once.

        Args:
            cameras: views to learn from, in pictures of the latents' size.
            picture_size: height and width of the pictures to encode, in pixels.
        """


def device_of(module: nn.Module) -> torch.device:
    """Where a part lives: the device of its first parameter or buffer, the CPU where it has none."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor.device
    return torch.device("cpu")


def trained_groups(module: nn.Module) -> list[dict[str, Any]]:
    """One group for the optimiser with all that is trained in a module; none where nothing is."""
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    return [{"params": trained}] if trained else []

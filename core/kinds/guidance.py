"""Who says how pictures should change, and from where they are taken: guidance and views."""

from abc import abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from core.kinds.scene import trained_groups
from core.part import Part
from core.training_distribution import TrainingDistribution
from core.types import Cameras, GuidanceOutput, RenderOutput, ShapeLook, ViewNeeds


class Guidance(Part, nn.Module, kind="guidance"):
    """Says how rendered pictures should change. Constructor: `(config)`.

    Networks that are used and not trained stay out of `parameters()` (guidance/frozen.py). Parameters that it trains
    beside the geometry (a LoRA's) are given by `parameter_groups`, saved and resumed; one backward pass serves both.
    """

    config: Any
    steerable: ClassVar[tuple[str, ...]] = ()
    """Settings that may change between two steps: `forward` and `prepare` ask `config` for them whenever called."""
    trained_on: TrainingDistribution | None = None
    """What the model was trained to see, where it says so."""
    view_needs: ViewNeeds = ViewNeeds()
    """Which views it can work with."""
    size_step: int | None = None
    """It works at all multiples of this size, in latents, up to `latent_size`; None: at `latent_size` alone."""
    term_names: tuple[str, ...] = ()
    """Further loss terms that it returns, each weighed by a number of this name under the recipe's `losses`."""
    decodes_pixelwise: bool = False
    """Whether `decode` works pixel by pixel, because its latents are RGB by another name."""

    @abstractmethod
    def prepare(self, prompt: str) -> None:
        """Take the prompt, once, before training: embeddings are computed here."""

    @abstractmethod
    def forward(
        self, render: RenderOutput, cameras: Cameras, step: int, total_steps: int, rng: Generator
    ) -> GuidanceOutput:
        """A loss whose gradient moves the rendered latents toward what the prompt asks for.

        Args:
            render: of whole pictures, `render.latents` at `latent_size` or a size that `size_step` allows; its other
                channels may be of use.
        """

    def show_shape(self, look: ShapeLook | None) -> None:
        """Take the mesh that is painted, or the sketch that is followed; None: there is neither. Called once, when the
        parts are built.

        Raises:
            UserError: the guidance cannot do without.
        """

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for the optimiser, none for guidance that does not learn."""
        return trained_groups(self)

    @property
    def latent_guidance(self) -> "Guidance":
        """The guidance that works on latents: this one, or the inner one of a guidance that takes pictures."""
        return self

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


class Views(Part, kind="views"):
    """Where training pictures are taken from, and fixed ones to look at. Constructor: `(config, guidance, seed)`.

    It takes ranges that the model was trained with from `guidance.trained_on`.
    """

    n_views: int
    """Views of one training step."""
    n_together: int = 1
    """Size of a set: as many views in a row have related cameras, and guidance looks at them together; 1: views are
    independent."""
    of_known_pictures: ClassVar[bool] = False
    """Whether all views are from the cameras of pictures that the guidance knows."""

    @abstractmethod
    def draw(self, size: int, step: int, total_steps: int, rng: Generator) -> Cameras:
        """The cameras of one training step, for pictures of size x size."""

    @abstractmethod
    def around(self, n_views: int, size: int, device: torch.device) -> Cameras:
        """Fixed views for people: evenly around the object from its front on."""

    @abstractmethod
    def everywhere(self, n_views: int, size: int, device: torch.device) -> Cameras:
        """Fixed views spread evenly over all directions that training sees."""

    def all_cameras(self, size: int, device: torch.device) -> Cameras | None:
        """The only cameras that `draw` chooses from, where these are few; None where there is no end of them."""
        return None

    def misfit(self, needs: ViewNeeds) -> str | None:
        """Why guidance cannot work with these views, and what would do; None where it can."""
        if needs.cameras is not None and not self.of_known_pictures:
            return "knows pictures from a few cameras alone; use {type: posed-pictures}"
        if needs.n_together != self.n_together:
            fitting = "multi-view" if needs.n_together > 1 else "orbit"
            return (
                f"looks at {needs.n_together} views together, these come {self.n_together} by {self.n_together}; "
                f"use {{type: {fitting}}}"
            )
        return None

"""What all methods share: parts are built and checked, losses weighed and logged, views drawn, parameters optimised.

A method subclasses `LightningSystem`, declares its loss terms as a dataclass of weights, and computes the terms:

    class LatentNeRF(LightningSystem, name="latent-nerf"):
        @dataclass(frozen=True)
        class Config(LightningSystem.Config):
            losses: Losses = field(default_factory=Losses)

        def losses(self, cameras, step, rng): ...
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Tensor, nn

from core.errors import UserError, require
from core.kinds import Background, Geometry, Guidance, Renderer, System
from core.part import Choice
from core.schedule import Schedule
from core.types import Cameras, RenderOutput
from renderers.backgrounds import FlatBackground
from systems.continuation import check_same_tensors
from systems.random_streams import stream
from systems.rendering import joined
from systems.steps import Steps
from systems.views import USUAL_BINS, Views, random_views, shown_views, spread_views

#: Views that validation looks at.
N_VALIDATION_VIEWS = 4
#: Rays of one call of the renderer where views are rendered for people.
RAYS_AT_ONCE = 2**14


@dataclass(frozen=True)
class AdamSettings:
    """Adam (arXiv:1412.6980), as instant NGP and Latent-NeRF set it; learning rates belong to the parts."""

    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of the first and second moments."""
    eps: float = 1e-15
    """Added to the second moment's root: small, because a hash grid's gradients are."""
    rate: Schedule = field(default_factory=lambda: Schedule.constant(1.0))
    """Factor on all learning rates over the training."""

    def __post_init__(self) -> None:
        require(all(0 <= beta < 1 for beta in self.betas), f"betas: from 0 to below 1, got {list(self.betas)}")
        require(self.eps > 0, f"eps: above 0, got {self.eps:g}")


class LightningSystem(System, LightningModule):
    """A method whose training Lightning drives."""

    continues: bool = False
    """Whether it can only go on from another run's result."""

    @dataclass(frozen=True)
    class Config:
        """Parts and settings that every method has."""

        geometry: Choice[Geometry]
        """What is trained."""
        background: Choice[Background]
        """What is behind it."""
        renderer: Choice[Renderer]
        """What makes pictures of it."""
        guidance: Choice[Guidance]
        """What says how the pictures should change."""
        cameras: Views = field(default_factory=Views)
        """Where training views are taken from."""
        optimizer: AdamSettings = field(default_factory=AdamSettings)
        """How the parameters follow the gradient."""

    def __init__(self, config: Any, prompt: str, seed: int, total_steps: int) -> None:
        """Build the parts.

        Raises:
            UserError: parts that do not fit each other, or that cannot be built.
        """
        super().__init__()
        self.config, self.prompt, self.seed, self.total_steps = config, prompt, seed, total_steps
        self.guidance = config.guidance.build()
        channels = self.guidance.latent_channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # torch's layers take their first values from the global stream only
            self.geometry = config.geometry.build(channels)
            self.background = config.background.build(channels)
        if self.geometry.n_channels != channels:
            raise UserError(
                f"system.geometry: '{self.geometry.part_name}' shows {self.geometry.n_channels} channels, "
                f"'{self.guidance.part_name}' wants {channels}"
            )
        self.renderer = config.renderer.build(self.geometry)
        self.views = config.cameras.settled(self.guidance.world, self.guidance.known_cameras)
        self._latent_size = self.guidance.latent_size
        #: Weights of loss terms that stand elsewhere in the recipe than under `losses`.
        self.further_weights: dict[str, Schedule] = {}
        self._is_prepared = False

    # The training, step by step.

    def prepare(self) -> None:
        """Embed the prompt and encode flat backgrounds; once, when the system is on its device."""
        if self._is_prepared:
            return
        self.guidance.prepare(self.prompt)
        if isinstance(self.background, FlatBackground):
            self.background.set_bank(self.encoded_palette(self.background))
        self._is_prepared = True

    def training_step(self, batch: int, batch_idx: int) -> dict[str, Any]:
        """One step: views, loss terms, weighted sum. The batch carries nothing; all chance comes from seed and step.

        Returns:
            `loss`, to be minimised, and `numbers` by name, to be shown.
        """
        step = self.global_step
        rng = stream(self.seed, "training", step, self.device)
        self.geometry.advance(step, self.total_steps)
        self.renderer.prepare(self.geometry, step, rng)
        cameras = self.training_cameras(step, rng)
        terms, metrics = self.losses(cameras, step, rng)
        loss = torch.stack([self.weight(name, step) * term for name, term in terms.items()]).sum()
        shown = {f"loss/{name}": term.detach() for name, term in terms.items()} | metrics
        # The callbacks get the numbers with the step's outputs: Lightning's own log would take a tenth of a small step.
        return {"loss": loss, "numbers": {"loss": loss.detach(), **shown}}

    def training_cameras(self, step: int, rng: torch.Generator) -> Cameras:
        """The views of one step."""
        world = self.guidance.world
        return random_views(
            self.views,
            self._latent_size,
            rng,
            self.guidance.known_cameras,
            spread=self.views.spread.at(step, self.total_steps),
            opened=self.views.opened.at(step, self.total_steps),
            bins=world.view_bins if world else USUAL_BINS,
        )

    def weight(self, term: str, step: int) -> float:
        """The weight of a loss term at a step, as the recipe schedules it."""
        schedule = self.further_weights.get(term) or getattr(self.config.losses, term)
        return schedule.at(step, self.total_steps)

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Render and decode one fixed view; log how much of it the object covers."""
        cameras = self.validation_cameras(N_VALIDATION_VIEWS, self._latent_size)[batch_idx : batch_idx + 1]
        output = self.render(cameras)
        brightness = self.decode(output.latents).mean()
        self.log_dict({"validation/opacity": output.opacity.mean(), "validation/brightness": brightness}, batch_size=1)

    def test_step(self, batch: int, batch_idx: int) -> None:
        """The same views as in validation: there is no hidden test set in text-to-3D."""
        self.validation_step(batch, batch_idx)

    def take_over(self, other: "LightningSystem") -> None:
        """Begin with the result of another run, whose system is on this one's device; both are prepared.

        Raises:
            UserError: it does not fit, or this method begins with nothing.
        """
        raise UserError(f"--from: '{self.part_name}' begins with nothing; leave --from out")

    # What others ask of a trained system.

    def validation_cameras(self, n_views: int, size: int) -> Cameras:
        """Fixed views around the object from its front on."""
        return shown_views(self.views, n_views, size, self.device)

    def surrounding_cameras(self, n_views: int, size: int) -> Cameras:
        """Fixed views that see the object from all sides that training saw."""
        return spread_views(self.views, n_views, size, self.device)

    @torch.no_grad()
    def render(
        self, cameras: Cameras, with_normals: bool = False, background: Background | None = None
    ) -> RenderOutput:
        """Views for people and exporters, a few at a time (memory), in evaluation mode, with a stream of their own."""
        was_training = self.training
        self.eval()
        try:
            rng, cameras = stream(self.seed, "validation", 0, self.device), cameras.to(self.device)
            behind = self.background if background is None else background
            at_once = max(1, RAYS_AT_ONCE // (cameras.height * cameras.width))
            outputs = [
                self.renderer(self.geometry, behind, cameras[i : i + at_once], rng, with_normals)
                for i in range(0, len(cameras), at_once)
            ]
        finally:
            self.train(was_training)
        return joined(outputs)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Rendered latents to pictures, RGB in [0, 1]."""
        return self.guidance.decode(latents)

    @torch.no_grad()
    def encoded_palette(self, background: FlatBackground) -> Float[Tensor, "colours height width channels"]:
        """Latents of a flat background's colours, as its bank wants them."""
        world = self.guidance.world
        known = torch.tensor(list(world.backgrounds.values())) if world else None
        colours = background.palette(known).to(self.device)
        size = self.guidance.picture_size
        return self.guidance.encode(colours[:, None, None].expand(-1, size, size, -1))

    # What Lightning asks.

    def on_fit_start(self) -> None:
        """The system is on its device now."""
        self.prepare()

    def on_validation_start(self) -> None:
        """Likewise, where nothing is trained."""
        self.prepare()

    def on_test_start(self) -> None:
        """Likewise."""
        self.prepare()

    def configure_optimizers(self) -> Any:
        """Adam over the groups that the parts declare."""
        settings: AdamSettings = self.config.optimizer
        groups = self._groups()
        _check_groups(self, groups)
        adam = torch.optim.Adam(groups, betas=settings.betas, eps=settings.eps)
        rate = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: settings.rate.at(step, self.total_steps))
        return {"optimizer": adam, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Before a training goes on."""
        check_same_tensors(checkpoint, self._groups())

    def train_dataloader(self) -> Steps:
        """No data: one number per step."""
        return Steps(self.total_steps)

    def val_dataloader(self) -> Steps:
        """One number per view."""
        return Steps(N_VALIDATION_VIEWS)

    def test_dataloader(self) -> Steps:
        """One number per view."""
        return Steps(N_VALIDATION_VIEWS)

    def _groups(self) -> list[dict[str, Any]]:
        return [*self.geometry.parameter_groups(), *self.background.parameter_groups()]


def _check_groups(system: nn.Module, groups: list[dict[str, Any]]) -> None:
    """Every trained parameter is in exactly one group, or the part's author has made a mistake."""
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    for name, parameter in system.named_parameters():
        if parameter.requires_grad and grouped.count(id(parameter)) != 1:
            raise TypeError(f"{name} is in {grouped.count(id(parameter))} parameter groups; one is right")

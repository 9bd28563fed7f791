"""What all methods share: parts are built and checked, losses weighed and logged, views drawn, parameters optimised.

A method subclasses `LightningSystem`, narrows the parts that it can work with, and says how one step is rendered:

    class LatentNeRF(LightningSystem, name="latent-nerf"):
        @dataclass(frozen=True)
        class Config(LightningSystem.Config):
            geometry: Choice[DensityField]
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Generator, Tensor

from core.chance import ALONE, stream
from core.errors import UserError
from core.kinds import Background, Geometry, Guidance, Loss, Renderer, System, TrainingStep, Views
from core.memory import with_less_at_once
from core.part import Choice
from core.schedule import Schedule
from core.types import Cameras, GuidanceOutput, RenderOutput
from systems.loss_terms import GUIDANCE_TERM, LossTerms, check_losses
from systems.optimizer import AdamSettings, check_groups
from systems.steps import StepRendering, Steps, within_memory
from systems.training_size import TrainingSize
from systems.views.orbit import Orbit

#: Views that validation looks at.
N_VALIDATION_VIEWS = 4
#: Rays of one call of the renderer where views are rendered for people.
RAYS_AT_ONCE = 2**14


class LightningSystem(System, LightningModule):
    """A method whose training Lightning drives."""

    stream_name: str = "training"
    """Of the random stream that the steps draw from; another one after the training had to go back to a checkpoint."""
    refines: ClassVar[bool] = False
    """Whether it can only begin with another run's result."""

    @dataclass(frozen=True)
    class Config:
        """Parts and settings that every method has."""

        MOVED: ClassVar[Mapping[str, str]] = {
            "cameras": "views: {type: orbit, ...} with its ranges and n_views",
            "sketch": "losses: {sketch: {type: sketch-shape, path: ..., weight: ...}}",
            "pool_size": "views: {type: pool, size: ...}, or {type: orbit} for 0,",
            "kept_pixels": "losses: {kept: {type: kept-colours, square: ..., weight: ...}}",
        }

        geometry: Choice[Geometry]
        """What is trained."""
        background: Choice[Background]
        """What is behind it."""
        renderer: Choice[Renderer]
        """What makes pictures of it."""
        guidance: Choice[Guidance]
        """What says how the pictures should change."""
        views: Choice[Views] = field(default_factory=lambda: Choice(Orbit, Orbit.Config()))
        """Where pictures are taken from."""
        latent_size: Schedule | None = None
        """Size of training pictures, in latents. {start: 16, end: 32, from: 0.2, to: 0.6} begins with the whole, at a
        quarter of the cost. Null: the model's own."""
        losses: dict[str, Choice[Loss] | Schedule | None] = field(default_factory=dict)
        """Loss terms by names of your own, each {type: ..., weight: ...}; null leaves one out. A number alone, as in
        `sds: 1.0`, is the weight of a term that the guidance gives."""
        optimizer: AdamSettings = field(default_factory=AdamSettings)
        """How the parameters follow the gradient."""

        def __post_init__(self) -> None:
            check_losses(self.losses)

    def __init__(self, config: Any, prompt: str, seed: int, total_steps: int) -> None:
        """Build the parts.

        Raises:
            UserError: parts that do not fit each other, or that cannot be built.
        """
        super().__init__()
        self.config, self.prompt, self.seed, self.total_steps = config, prompt, seed, total_steps
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)  # torch's layers take their first values from the global stream only
            self.guidance = config.guidance.build()
            channels = self.guidance.latent_channels
            torch.manual_seed(seed)  # whatever loading a model has drawn
            self.geometry = config.geometry.build(channels)
            self.background = config.background.build(channels)
        if self.geometry.n_channels != channels:
            raise UserError(
                f"{self.setting('geometry')}: '{self.geometry.part_name}' shows {self.geometry.n_channels} channels, "
                f"'{self.guidance.part_name}' wants {channels}"
            )
        self.renderer = config.renderer.build(self.geometry)
        self.views = config.views.build(self.guidance, seed)
        if reason := self.views.misfit(self.guidance.view_needs):
            raise UserError(f"{self.setting('views')}: '{self.guidance.part_name}' {reason}")
        self.background.n_together = self.views.n_together
        self.losses = LossTerms(config.losses, self.geometry, self.renderer, self.guidance, self.setting("losses"))
        self.guidance.latent_guidance.show_shape(self.renderer.shape(self.geometry) or self.losses.shape)
        self._latent_size, self.to_input = self.guidance.latent_size, self.losses.to_input
        self._training_size = TrainingSize.of(config.latent_size, self.guidance, self.setting("latent_size"))
        self._is_set_up = False

    def set_up(self) -> None:
        """Embed the prompt and encode flat backgrounds; once, when the system is on its device."""
        if self._is_set_up:
            return
        self.guidance.prepare(self.prompt)
        self.encode_colours(self.background)
        self._is_set_up = True

    def training_step(self, batch: int, batch_idx: int) -> dict[str, Any]:
        """One step: `loss`, to be minimised, and `numbers` by name, to be shown. All chance is seed's and step's."""
        step = self.global_step
        loss, numbers = self.compute_loss(step, stream(self.seed, self.stream_name, step, self.device, self.rank))
        # The callbacks get the numbers with the step's outputs: Lightning's own log would take a tenth of a small step.
        return {"loss": loss, "numbers": {"loss": loss.detach(), **numbers}}

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        """As Lightning has it, but that a step without memory is tried once more."""
        optimizer.step(closure=lambda: within_memory(optimizer_closure, self))

    def compute_loss(self, step: int, rng: Generator) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Views, rendering, guidance, losses, weighed sum; and numbers for the log by name."""
        self.renderer.refresh(self.geometry, step, rng)
        seen, size = rng, self.size_at(step)
        if (n := self.guidance.view_needs.n_steps) > 1:  # steps in a row that show the same views
            seen = stream(self.seed, f"{self.stream_name}/views", step - step % n, self.device, self.rank)
        if not isinstance(cameras := self.views.draw(size, step, self.total_steps, seen), Cameras):
            raise self.views.wrong_result(cameras, "draw: Cameras")
        if self.rank != ALONE:
            cameras = self.rank.own(cameras)
        rendered = self.render_step(cameras, seen)
        guidance = self.guidance(rendered.whole, cameras, step, self.total_steps, rng)
        if not isinstance(guidance, GuidanceOutput):
            raise self.guidance.wrong_result(guidance, "forward: GuidanceOutput")
        now = TrainingStep(rendered.fine, rendered.cameras, self.geometry, self.renderer, step, self.total_steps, rng)
        loss, terms = self.losses({GUIDANCE_TERM: guidance.loss, **guidance.terms}, now)
        return loss, {**terms, "opacity": rendered.whole.opacity.detach().mean(), **guidance.metrics}

    def size_at(self, step: int) -> int:
        """Height and width of a step's pictures, in latents."""
        return self._training_size.at(step, self.total_steps) if self.config.latent_size else self._latent_size

    def render_step(self, cameras: Cameras, rng: Generator) -> StepRendering:
        """Render the views of one training step."""
        render = self.renderer(self.geometry, self.background, cameras, rng, self.losses.with_normals)
        if not isinstance(render, RenderOutput):
            raise self.renderer.wrong_result(render, "forward: RenderOutput")
        return StepRendering(render, render, cameras)

    def validation_step(self, batch: int, batch_idx: int) -> None:
        """Render and decode one fixed view; log how much of it the object covers."""
        output = self.render(self.validation_cameras(N_VALIDATION_VIEWS, self._latent_size)[batch_idx : batch_idx + 1])
        brightness = self.decode(output.latents).mean()
        self.log_dict({"validation/opacity": output.opacity.mean(), "validation/brightness": brightness}, batch_size=1)

    test_step = validation_step  # there is no hidden test set in text-to-3D

    def start_from(self, other: "LightningSystem") -> None:
        """Begin with the result of another run, whose system is on this one's device; both are set up.

        Raises:
            UserError: it does not fit, or this method begins with nothing.
        """
        self.take_result(other)
        for loss in self.losses.parts():
            loss.begin(self.geometry)

    def take_result(self, other: "LightningSystem") -> None:
        """Load another run's result to begin with; refused here, so a method that can begin with one overrides it."""
        raise UserError(f"--from: '{self.part_name}' begins with nothing; leave --from out")

    # What others ask of a trained system.
    def validation_cameras(self, n_views: int, size: int) -> Cameras:
        """Fixed views around the object from its front on."""
        return self.views.around(n_views, size, self.device)

    def surrounding_cameras(self, n_views: int, size: int) -> Cameras:
        """Fixed views that see the object from all sides that training saw."""
        return self.views.everywhere(n_views, size, self.device)

    @torch.no_grad()
    def render(
        self, cameras: Cameras, with_normals: bool = False, background: Background | None = None
    ) -> RenderOutput:
        """Views for people and exporters, a few at a time (memory), in evaluation mode, with a stream of their own."""
        was_training = self.training
        self.eval()
        try:
            cameras, behind = cameras.to(self.device), self.background if background is None else background

            def drawn(at_once: int) -> RenderOutput:
                rng = stream(self.seed, "validation", 0, self.device)
                parts = [cameras[i : i + at_once] for i in range(0, len(cameras), at_once)]
                seen = [self.renderer(self.geometry, behind, part, rng, with_normals) for part in parts]
                return RenderOutput.joined([replace(one, samples=None) for one in seen])  # only losses need them

            return with_less_at_once(drawn, max(1, RAYS_AT_ONCE // (cameras.height * cameras.width)))
        finally:
            self.train(was_training)

    @torch.no_grad()
    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Rendered latents to pictures, RGB in [0, 1]."""
        return self.guidance.decode(latents)

    def encode_colours(self, background: Background) -> None:
        """Let a background, this system's or another one to render before, encode its flat colours."""
        known = self.guidance.trained_on
        colours = torch.tensor(list(known.backgrounds.values())) if known else None
        further = self._training_size.further_pictures(self.guidance)
        background.encode_colours(self.guidance.encode, self.guidance.picture_size, colours, self.device, further)

    # What Lightning asks.
    def on_fit_start(self) -> None:
        """The system is on its device now."""
        self.set_up()
        if (cameras := self.views.all_cameras(self._latent_size, self.device)) is not None:
            self.renderer.draw_ahead(self.geometry, cameras)

    def on_fit_end(self) -> None:
        """A training that is shorter than its pool of views leaves the rest undrawn."""
        self.renderer.stop_drawing_ahead()

    def on_validation_start(self) -> None:
        """The system is on its device now, and nothing is trained."""
        self.set_up()

    on_test_start = on_validation_start

    def configure_optimizers(self) -> Any:
        """Adam over the groups that the parts declare."""
        groups = self._groups()
        check_groups(self, groups)
        return self.config.optimizer.over(groups, self.total_steps)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Before a training goes on."""
        self.config.optimizer.renew(checkpoint, self._groups(), self.total_steps, self.setting("geometry"))

    def train_dataloader(self) -> Steps:
        """No data: one number per step."""
        return Steps(self.total_steps)

    def val_dataloader(self) -> Steps:
        """One number per view."""
        return Steps(N_VALIDATION_VIEWS)

    test_dataloader = val_dataloader

    def _groups(self) -> list[dict[str, Any]]:
        return [group for part in (self.geometry, self.background, self.guidance) for group in part.parameter_groups()]

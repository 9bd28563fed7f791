"""`textual-inversion`: a new word is learnt from pictures of one object, to be used in prompts afterwards.

Nothing is rendered: what is trained are the word's embeddings in front of the model's text encoder. Previews show
pictures that the model draws by itself for the prompt, with the word for each view.

Source: Gal et al., An Image is Worth One Word (arXiv:2208.01618).
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from lightning import LightningModule
from torch import Generator, Tensor

from core.cameras import view_names
from core.chance import stream
from core.errors import require
from core.kinds import Background
from core.part import Choice
from core.types import Cameras, RenderOutput
from guidance.latent_sds import LatentSDS
from guidance.pictures import read_pictures
from guidance.word_learning import WordLearner
from systems.base import LightningSystem
from systems.optimizer import AdamSettings
from systems.views.orbit import Orbit


class TextualInversion(LightningSystem, name="textual-inversion"):
    """Learns a word from pictures."""

    guidance: LatentSDS
    divides_views = False

    @dataclass(frozen=True)
    class Config:
        """Settings of textual inversion."""

        pictures: Path
        """Folder with three or more pictures of one object; where it has a cameras.json (as for posed-pictures), each
        picture's caption ends in its view's word."""
        guidance: Choice[LatentSDS]
        """The model that the word is for, and the scale that previews are drawn with."""
        token: str = "<thing>"
        """The word, to be written in prompts."""
        begin: str = "object"
        """What the word means at first, in words that the model knows; it has as many embeddings as this has tokens."""
        captions: tuple[str, ...] = ("a photo of a {}", "a rendering of a {}", "a close-up of the {}", "the {}")
        """Captions, {} standing for the word; one is picked at random for each picture."""
        n_pictures: int = 4
        """Pictures in each step."""
        learning_rate: float = 0.005
        """Adam's rate for the embeddings."""
        optimizer: AdamSettings = field(default_factory=AdamSettings)
        """How they follow the gradient."""

        def __post_init__(self) -> None:
            require(1 <= self.n_pictures <= 1024, f"n_pictures: from 1 to 1024, got {self.n_pictures}")
            require(self.learning_rate > 0, f"learning_rate: above 0, got {self.learning_rate:g}")
            require(len(self.captions) > 0, "captions: one or more, with {} for the word")
            require(all("{}" in text for text in self.captions), "captions: each needs {} where the word stands")
            require(len(self.token.split()) == 1, f"token: one word without spaces, got '{self.token}'")

    def __init__(self, config: Config, prompt: str, seed: int, total_steps: int) -> None:
        """Load the model and look for pictures.

        Raises:
            UserError: there are none, or the word cannot be learnt.
        """
        LightningModule.__init__(self)  # the parts that other methods have are not there
        self.config, self.prompt, self.seed, self.total_steps = config, prompt, seed, total_steps
        self.pictures = read_pictures(config.pictures)
        self.guidance = config.guidance.build()
        self.guidance.show_shape(None)
        self.views = Choice.of(Orbit).build(self.guidance, seed)
        self.learner = WordLearner(self.guidance.model, config.token, config.begin)
        self._latent_size = self.guidance.latent_size
        self._latents: Tensor | None = None

    @torch.no_grad()
    def set_up(self) -> None:
        """Encode the pictures; once, when the system is on its device."""
        if self._latents is None:
            pictures = self.pictures.pictures(self.guidance.picture_size).to(self.device)
            self._latents = self.guidance.encode(pictures)

    def compute_loss(self, step: int, rng: Generator) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """Some of the pictures, each with a caption drawn for it."""
        assert self._latents is not None, "set_up comes first"
        config, n = self.config, self.config.n_pictures
        chosen = torch.randint(len(self._latents), (n,), generator=rng, device=rng.device).tolist()
        captions = torch.randint(len(config.captions), (n,), generator=rng, device=rng.device).tolist()
        words = view_names(self.pictures.cameras, self.guidance.view_bins) if self.pictures.cameras else None
        texts = [
            self._told(config.captions[caption].format(config.token), words[i] if words else None)
            for i, caption in zip(chosen, captions, strict=True)
        ]
        loss = self.learner.loss(self._latents[chosen], texts, rng)
        return loss, {"denoising": loss.detach()}

    def take_less_memory(self) -> bool:
        """Nothing is rendered."""
        return self.guidance.take_less_memory()

    def size_at(self, step: int) -> int:
        """Pictures are of the model's own size."""
        return self._latent_size

    @torch.no_grad()
    def render(
        self, cameras: Cameras, with_normals: bool = False, background: Background | None = None
    ) -> RenderOutput:
        """What the model draws for the prompt from these sides; it has no depth and no normals."""
        text = self.prompt if self.config.token in self.prompt else self.config.captions[0].format(self.config.token)
        texts = [self._told(text, word) for word in view_names(cameras, self.guidance.view_bins)]
        scale = self.guidance.config.guidance_scale.at(self.total_steps, self.total_steps)
        latents = self.learner.draw(texts, scale, stream(self.seed, "validation", 0, self.device))
        whole = torch.ones(latents.shape[:3], device=latents.device)
        normals = torch.zeros(*whole.shape, 3, device=whole.device) if with_normals else None
        return RenderOutput(latents, whole, whole, normals, foreground=latents, samples=None)

    def on_fit_end(self) -> None:
        """Nothing was drawn ahead."""

    def _told(self, text: str, view: str | None) -> str:
        return f"{text}, {view} view" if view and self.guidance.config.view_dependent else text

    def _groups(self) -> list[dict[str, Any]]:
        return [{"params": list(self.learner.parameters()), "lr": self.config.learning_rate}]

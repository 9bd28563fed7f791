"""What all guidance by a diffusion model shares: the model, its sizes, and what it is told of each view."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from core.cameras import ViewBins
from core.errors import did_you_mean, require
from core.kinds import Guidance, device_of
from core.schedule import Schedule, require_values
from core.types import Cameras, ShapeLook
from guidance.control import ControlPictures
from guidance.frozen import frozen_dtype
from guidance.latent_diffusion import LatentDiffusion
from guidance.model_families import TextEmbedding
from guidance.model_settings import ModelSettings
from guidance.model_source import ModelSource
from guidance.prompts import VIEW_WORDS, view_prompts, vocabulary_warning, with_endings
from guidance.training_distribution import read_training_distribution

log = logging.getLogger(__name__)

#: Place of the unconditional text behind those of the view words.
UNCONDITIONAL = len(VIEW_WORDS)


class TextGuidance(Guidance):
    """Guidance by a diffusion model that is told a text for each view."""

    @dataclass(frozen=True)
    class Config(ModelSettings):
        """The model and its texts."""

        MOVED: ClassVar[Mapping[str, str]] = {"weights": "precision", "view_guidance_scale": "type: multi-view-sds"}

        view_dependent: bool = True
        """Whether ", front view" (side, back, overhead, bottom) is appended to the prompt."""
        views: dict[str, str] = field(default_factory=dict)
        """Prompts of their own for some views: {front: ..., side: ..., back: ..., overhead: ..., bottom: ...}."""
        view_bins: ViewBins | None = None
        """Where the words of views begin and end; null: as the model was trained, or the usual."""
        blend_views: bool = False
        """Whether a view between front, side and back is told a mixture of both texts, by its azimuth."""
        negative_prompt: str = ""
        """What the object should not look like. Replaces the empty text in classifier-free guidance, unless
        `negative_scale` is set or `score` is `nfsd`."""
        negative_views: dict[str, str] = field(default_factory=dict)
        """Negative prompts of their own for some views, such as {back: "a duck, front view"}; needs negative_scale."""
        negative_scale: Schedule | None = None
        """s_neg: eps_hat is moved by -s_neg (eps_negative - eps_uncond). Costs one more denoiser call per step; lower
        it over the training."""
        perpendicular: bool = False
        """Whether to keep only the part of that move that is perpendicular to the prompt's direction (Perp-Neg)."""

        def __post_init__(self) -> None:
            for name in ("views", "negative_views"):
                for word in getattr(self, name):
                    require(word in VIEW_WORDS, f"{name}.{word}: no view's word. {did_you_mean(word, VIEW_WORDS)}")
            told = self.negative_scale is not None
            require_values("negative_scale", self.negative_scale or Schedule.constant(0.0))
            require(told or not self.negative_views, "negative_views: needs negative_scale, which is null")
            require(told or not self.perpendicular, "perpendicular: needs negative_scale, which is null")

        @property
        def asks_negative(self) -> bool:
            """Whether the negative prompt is a text of its own, beside the unconditional one."""
            return self.negative_scale is not None

    config: Any

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.source = config.find(self.setting)
        self.trained_on = read_training_distribution(self.source.folder)
        self.view_bins = config.view_bins or (self.trained_on.view_bins if self.trained_on else ViewBins())
        self.model = self.read_model(self.source)
        self.size_step = self.model.size_step
        self._texts: TextEmbedding | None = None
        self._pictures: ControlPictures | None = None

    def read_model(self, source: ModelSource) -> LatentDiffusion:
        """The model behind a recipe's `model`; guidance that tells its denoiser more reads more."""
        return self.config.read(source, self.setting)

    def show_shape(self, look: ShapeLook | None) -> None:
        """What ControlNets are shown.

        Raises:
            UserError: there are some, and nothing to show.
        """
        told = "a ControlNet is shown a mesh, and the recipe has none: paint one, or follow a sketch (losses)"
        require(look is not None or not self.config.control, f"{self.setting('control')}: {told}")
        self._pictures = self.model.control_pictures(look) if look else None

    def shown(self, cameras: Cameras, size: int) -> tuple[Tensor, ...]:
        """What each ControlNet is shown (views 3 rows columns), for latents of this size.

        Raises:
            RuntimeError: before `show_shape`.
        """
        if self._pictures is None:
            raise RuntimeError("call show_shape(look) before the first step")
        return self._pictures(cameras, size * self.model.autoencoder.pixel_factor)

    def take_less_memory(self) -> bool:
        """Views are denoised and encoded one by one, or as many as show an object together."""
        autoencoder = self.model.autoencoder
        is_new, autoencoder.takes_less = not autoencoder.takes_less, True
        return is_new

    @property
    def latent_channels(self) -> int:
        """Channels of a latent picture."""
        return self.model.autoencoder.n_channels

    @property
    def latent_size(self) -> int:
        """Height and width at which the denoiser works."""
        return self.model.latent_size

    @property
    def picture_size(self) -> int:
        """Height and width of the pictures that such latents decode to, in pixels."""
        return self.model.latent_size * self.model.autoencoder.pixel_factor

    def prepare(self, prompt: str) -> None:
        """Embed the prompt's texts, once, on the device where the model is by now.

        Raises:
            UserError: there is no prompt.
        """
        require(prompt.strip() != "", f"prompt: missing; {self.part_name} is told what to make by --prompt TEXT")
        config, known = self.config, self.trained_on
        own, negative = config.views.values(), (config.negative_prompt, *config.negative_views.values())
        self.model.check_words(" ".join([prompt, *own]), " ".join(negative), self.setting("embeddings"))
        if known and (warning := vocabulary_warning(self.model.without_words(prompt), known.vocabulary, config.model)):
            log.warning("%s", warning)
        self.model.use_precision(frozen_dtype(config.precision, device_of(self)))
        texts = self.texts(prompt)
        if config.asks_negative:
            texts += [self._fitting(config.negative_views.get(word, config.negative_prompt)) for word in VIEW_WORDS]
        self._texts = self.model.embed_text(texts)
        self.model.load()  # what is wrong with its weights is told before the training

    def texts(self, prompt: str) -> list[str]:
        """What is embedded: the prompt for each of `VIEW_WORDS`, then the unconditional text (at `UNCONDITIONAL`).

        Negative prompts that are texts of their own follow behind all these.
        """
        config = self.config
        if config.view_dependent:
            views = view_prompts(prompt, self.model.fits)
        else:
            views = dict.fromkeys(VIEW_WORDS, self._fitting(prompt))
        own = {word: self._fitting(text) for word, text in config.views.items()}
        return [*(views | own).values(), "" if config.asks_negative else self._fitting(config.negative_prompt)]

    def _fitting(self, text: str) -> str:
        """A text as far as the text encoder reads it; what is cut is told."""
        return with_endings(text, [""], self.model.fits)[0]

    def decode(self, latents: Float[Tensor, "views height width channels"]) -> Float[Tensor, "views rows columns 3"]:
        """Latents to pictures, RGB in [0, 1]."""
        return self.model.autoencoder.decode(latents)

    def encode(self, rgb: Float[Tensor, "views rows columns 3"]) -> Float[Tensor, "views height width channels"]:
        """Pictures, RGB in [0, 1], to latents."""
        return self.model.autoencoder.encode(rgb)

"""The families of models that can guide, one class each behind one promise.

    family = find_family(source)                            # from model_index.json and the denoiser's config
    family.schedule(config)                                 # alpha, sigma, and what the network's output means
    family.embed(pipeline, texts, device)                   # by diffusers' own `encode_prompt`
    family.call(network, noisy, time, tokens, pooled)       # the network's raw output
    family.latent_statistics(config)                        # mean and deviation by which latents are normalised

A further family is a subclass in `FAMILIES`, with a test of equality to diffusers' pipeline
(tests/guidance/test_equal_to_diffusers.py).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.errors import UserError
from core.types import TensorRecord
from guidance.autoencoder import Statistics, latent_statistics
from guidance.foreign_families import foreign_family
from guidance.model_source import ModelSource, denoiser_part
from guidance.noise_schedule import NoiseSchedule, read_noise_schedule


@dataclass(frozen=True)
class TextEmbedding(TensorRecord):
    """What a denoiser is told about the texts."""

    tokens: Float[Tensor, "texts tokens channels"]
    pooled: Float[Tensor, "texts pooled"] | None

    def select(self, texts: Int[Tensor, "chosen"]) -> "TextEmbedding":
        """The embeddings of some texts, in the order asked for."""
        return TextEmbedding(self.tokens[texts], None if self.pooled is None else self.pooled[texts])

    def mixed(self, asked: Sequence[Tensor]) -> "TextEmbedding":
        """One embedding for each view of each text asked for.

        Args:
            asked: texts of the views (views,), or shares of the first texts (views, texts), which are mixed by them.
        """
        n_texts, tokens, pooled = len(self.tokens), [], []
        for each in asked:
            shares = each if each.is_floating_point() else nn.functional.one_hot(each % n_texts, n_texts)
            shares = shares.to(self.tokens)
            first = shares.shape[1]
            tokens.append(torch.einsum("vt,tnc->vnc", shares, self.tokens[:first]))
            if self.pooled is not None:
                pooled.append(shares @ self.pooled[:first])
        return TextEmbedding(torch.cat(tokens), torch.cat(pooled) if pooled else None)

    def as_type(self, dtype: torch.dtype) -> "TextEmbedding":
        """The same embeddings in the precision of a denoiser."""
        return TextEmbedding(self.tokens.to(dtype), None if self.pooled is None else self.pooled.to(dtype))


class ModelFamily(ABC):
    """What guidance has to know of a family of latent diffusion models.

    Args:
        config: the denoiser's, with all defaults.
        pixels: height and width of the pictures that the model was trained with.
    """

    title: ClassVar[str]
    """How people call it."""
    pipeline: ClassVar[str]
    """The class of diffusers whose text encoding and add-ons are its own."""
    denoiser: ClassVar[str] = "unet"
    """The denoiser's folder."""
    text_encoders: ClassVar[tuple[str, ...]] = ("text_encoder",)
    """Folders of the text encoders that it cannot do without."""
    t5: ClassVar[str | None] = None
    """Folder of a further one, several times as large as all the rest, that it can do without."""
    takes_embeddings: ClassVar[bool] = True
    """Whether diffusers' pipeline reads textual inversions."""
    latent_statistics: ClassVar[Statistics] = staticmethod(latent_statistics)
    """Mean and deviation by which latents are normalised, from the autoencoder's config."""

    def __init__(self, config: Mapping[str, Any], pixels: int) -> None:
        self.config, self.pixels = config, pixels

    @classmethod
    def networks(cls) -> tuple[str, ...]:
        """Folders of all networks that a LoRA may change."""
        return (cls.denoiser, *cls.text_encoders)

    def schedule(self, config: Mapping[str, Any]) -> NoiseSchedule:
        """The noise schedule that a scheduler's config stands for."""
        return read_noise_schedule(config)

    @abstractmethod
    def embed(self, pipeline: Any, texts: list[str], device: torch.device) -> TextEmbedding:
        """What diffusers' pipeline makes of texts, the empty one as it makes it where no negative prompt is given."""

    @abstractmethod
    def call(self, network: Callable[..., Any], noisy: Tensor, time: Tensor, tokens: Tensor, *told: Tensor) -> Tensor:
        """The network's output for noisy latents (views channels height width).

        Args:
            told: the pooled text embedding of families that have one, or what else a denoiser was made to be told.
        """


class StableDiffusion(ModelFamily):
    """One CLIP, a UNet; its last hidden state is all that the UNet is told of a text."""

    title = "Stable Diffusion 1.x and 2.x"
    pipeline = "StableDiffusionPipeline"

    def embed(self, pipeline: Any, texts: list[str], device: torch.device) -> TextEmbedding:
        """The text encoder's last hidden state."""
        return TextEmbedding(pipeline.encode_prompt(texts, device, 1, False)[0].float(), None)

    def call(self, network: Callable[..., Any], noisy: Tensor, time: Tensor, tokens: Tensor, *told: Tensor) -> Tensor:
        """Poses are told as class labels (guidance/camera_conditioning.py)."""
        labels = told[0] if told else None
        return network(noisy, time, encoder_hidden_states=tokens, class_labels=labels, return_dict=False)[0]


class StableDiffusionXL(ModelFamily):
    """Two CLIPs, the second one's projection as the pooled embedding; the UNet is told the picture's size."""

    title = "Stable Diffusion XL"
    pipeline = "StableDiffusionXLPipeline"
    text_encoders = ("text_encoder", "text_encoder_2")

    def embed(self, pipeline: Any, texts: list[str], device: torch.device) -> TextEmbedding:
        """Last but one hidden states side by side; zeros for the empty text where the pipeline's config says so."""
        tokens, _, pooled, _ = pipeline.encode_prompt(texts, device=device, do_classifier_free_guidance=False)
        tokens, pooled = tokens.float(), pooled.float()
        if pipeline.config.force_zeros_for_empty_prompt:
            said = torch.tensor([bool(text) for text in texts], device=tokens.device).float()
            tokens, pooled = tokens * said[:, None, None], pooled * said[:, None]
        return TextEmbedding(tokens, pooled)

    def call(self, network: Callable[..., Any], noisy: Tensor, time: Tensor, tokens: Tensor, *told: Tensor) -> Tensor:
        """Told the picture's size, its crop and its target size in pixels: ours is whole, at the model's own size."""
        size = noisy.new_full((len(noisy), 6), self.pixels)
        size[:, 2:4] = 0
        added = {"text_embeds": told[0], "time_ids": size}
        return network(noisy, time, encoder_hidden_states=tokens, added_cond_kwargs=added, return_dict=False)[0]


class StableDiffusion3(ModelFamily):
    """Two CLIPs and, if wanted, T5, side by side for a transformer; without T5 its place holds zeros."""

    title = "Stable Diffusion 3 and 3.5"
    pipeline = "StableDiffusion3Pipeline"
    denoiser = "transformer"
    text_encoders = ("text_encoder", "text_encoder_2")
    t5 = "text_encoder_3"
    takes_embeddings = False

    def embed(self, pipeline: Any, texts: list[str], device: torch.device) -> TextEmbedding:
        """CLIP's tokens padded to the transformer's width, T5's or zeros behind them; both projections pooled."""
        tokens, _, pooled, _ = pipeline.encode_prompt(
            texts, None, None, device=device, do_classifier_free_guidance=False
        )
        return TextEmbedding(tokens.float(), pooled.float())

    def call(self, network: Callable[..., Any], noisy: Tensor, time: Tensor, tokens: Tensor, *told: Tensor) -> Tensor:
        """Told the pooled embedding beside the tokens."""
        return network(noisy, tokens, told[0], time, return_dict=False)[0]


FAMILIES = (StableDiffusion, StableDiffusionXL, StableDiffusion3)
#: The second half of a refusal.
FITTING = f"what fits: {', '.join(family.title for family in FAMILIES)}"
#: Denoisers by the class that model_index.json names.
_UNET, _TRANSFORMER = "UNet2DConditionModel", "SD3Transformer2DModel"


def find_family(source: ModelSource) -> type[ModelFamily]:
    """The family of a model, from its model_index.json and its denoiser's config.

    Raises:
        UserError: it is of another family, which is named, or has no denoiser.
    """
    if foreign := foreign_family(source):
        raise UserError(f"model '{source.name}': {foreign} cannot guide; {FITTING}")
    part = denoiser_part(source)
    if not source.has(part):
        raise UserError(f"model '{source.name}': has no '{part}', which latent guidance needs; {FITTING}")
    name = source.class_of(part)
    if name not in (_UNET, _TRANSFORMER):
        raise UserError(
            f"model '{source.name}': its '{part}' is of the class {name}; {FITTING} ({_UNET} or {_TRANSFORMER})"
        )
    if name == _TRANSFORMER:
        return StableDiffusion3
    is_xl = source.config(part).get("addition_embed_type") == "text_time"
    return StableDiffusionXL if is_xl else StableDiffusion

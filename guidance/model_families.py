"""One class per model family, all with the same interface; the UNet families are defined here.

    family = find_family(source)                            # from model_index.json and configs (known_families.py)
    family.schedule(config)                                 # alpha, sigma, and what the network's output means
    family.embed(pipeline, texts, device)                   # by diffusers' own `encode_prompt`
    family.call(network, noisy, time, *told)                # the network's raw output
    family.latent_statistics(config)                        # mean and deviation by which latents are normalised

Those with a transformer are in transformer_families.py.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.types import TensorRecord
from guidance.autoencoder import Statistics, latent_statistics
from guidance.noise_schedule import NoiseSchedule, read_noise_schedule


@dataclass(frozen=True)
class TextEmbedding(TensorRecord):
    """What a denoiser is told about the texts."""

    tokens: Float[Tensor, "texts tokens channels"]
    pooled: Float[Tensor, "texts pooled"] | None = None
    mask: Float[Tensor, "texts tokens"] | None = None
    """1 for tokens of the text, 0 for what fills it up, where a denoiser tells them apart."""

    def select(self, texts: Int[Tensor, "chosen"]) -> "TextEmbedding":
        """The embeddings of some texts, in the order asked for."""
        pooled, mask = (None if part is None else part[texts] for part in (self.pooled, self.mask))
        return TextEmbedding(self.tokens[texts], pooled, mask)

    def mixed(self, asked: Sequence[Tensor]) -> "TextEmbedding":
        """One embedding for each view of each text asked for.

        Args:
            asked: texts of the views (views,), or shares of the first texts (views, texts), which are mixed by them.
                A mixture has the tokens of all its texts.
        """
        n_texts = len(self.tokens)
        each = [s if s.is_floating_point() else nn.functional.one_hot(s % n_texts, n_texts) for s in asked]
        shares = torch.cat([nn.functional.pad(s, (0, n_texts - s.shape[1])).to(self.tokens) for s in each])
        return TextEmbedding(
            torch.einsum("vt,tnc->vnc", shares, self.tokens),
            None if self.pooled is None else shares @ self.pooled,
            None if self.mask is None else ((shares != 0).to(self.mask) @ self.mask).clamp(max=1),
        )

    def as_type(self, dtype: torch.dtype) -> "TextEmbedding":
        """The same embeddings in the precision of a denoiser."""
        return self.mapped(lambda part: part.to(dtype))


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
    """Folder of an optional, much larger text encoder (T5)."""
    readers: ClassVar[tuple[str, ...] | None] = None
    """Text encoders whose token limit the prompt must fit; None: all required ones."""
    t5_tokens: ClassVar[int | None] = None
    """How many tokens its pipeline lets a T5 read, where that is one of the readers."""
    text_width: ClassVar[str] = "cross_attention_dim"
    """What the denoiser's config calls the width of the tokens that it takes."""
    packing: ClassVar[int] = 1
    """Latents along each side that the denoiser takes as the channels of one."""
    takes_embeddings: ClassVar[bool] = True
    """Whether diffusers' pipeline reads textual inversions."""
    takes_loras: ClassVar[bool] = True
    """Whether it reads LoRAs."""
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
            told: what else the embedding holds (pooled, mask), or a denoiser was made to be told.
        """


class StableDiffusion(ModelFamily):
    """One CLIP, a UNet; its last hidden state is all that the UNet is told of a text."""

    title = "Stable Diffusion 1.x and 2.x"
    pipeline = "StableDiffusionPipeline"

    def embed(self, pipeline: Any, texts: list[str], device: torch.device) -> TextEmbedding:
        """The text encoder's last hidden state."""
        return TextEmbedding(pipeline.encode_prompt(texts, device, 1, False)[0].float())

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

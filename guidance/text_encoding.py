"""Texts to embeddings, as each family of Stable Diffusion wants them.

- SD 1.x and 2.x: the last hidden state of one CLIP.
- SD XL: two CLIPs, their last but one hidden states side by side; the second one's projection as `pooled`.
- SD 3: like XL, with both projections, padded to the transformer's width. The place of the optional T5, three times as
  large as all the rest, is filled with zeros, as the published pipeline does without it.
"""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.types import TensorRecord
from guidance.model_source import ModelSource

#: Tokens that the published pipeline of SD 3 gives to T5.
T5_TOKENS = 256


@dataclass(frozen=True)
class TextEmbedding(TensorRecord):
    """What a denoiser is told about the texts."""

    tokens: Float[Tensor, "texts tokens channels"]
    pooled: Float[Tensor, "texts pooled"] | None

    def select(self, texts: Int[Tensor, "chosen"]) -> "TextEmbedding":
        """The embeddings of some texts, in the order asked for."""
        return TextEmbedding(self.tokens[texts], None if self.pooled is None else self.pooled[texts])

    def as_type(self, dtype: torch.dtype) -> "TextEmbedding":
        """The same embeddings in the precision of a denoiser."""
        return TextEmbedding(self.tokens.to(dtype), None if self.pooled is None else self.pooled.to(dtype))


class TextEncoder:
    """The tokenizers and text encoders of one pipeline, frozen.

    Attributes:
        networks: the encoders, for whoever moves the model to a device.
    """

    def __init__(self, source: ModelSource, joint_width: int | None) -> None:
        """Read the encoders.

        Args:
            joint_width: channels of the tokens that an SD 3 transformer reads; None for the others.
        """
        suffixes = ["", "_2"] if source.has("text_encoder_2") else [""]
        self.tokenizers: list[Any] = [source.tokenizer(f"tokenizer{suffix}") for suffix in suffixes]
        self.networks: list[nn.Module] = [source.network(f"text_encoder{suffix}") for suffix in suffixes]
        self._limits = [_token_limit(*pair) for pair in zip(self.tokenizers, self.networks, strict=True)]
        self._joint_width = joint_width
        self._zero_for_empty = len(suffixes) == 2 and bool(source.index.get("force_zeros_for_empty_prompt", False))

    def fits(self, text: str) -> bool:
        """Whether every encoder reads the text to its end."""
        return all(
            len(tokenizer(text, verbose=False).input_ids) <= limit
            for tokenizer, limit in zip(self.tokenizers, self._limits, strict=True)
        )

    @torch.no_grad()
    def embed(self, texts: list[str]) -> TextEmbedding:
        """Embeddings in float32, on the encoders' device."""
        if len(self.networks) == 1:
            return TextEmbedding(self._run(0, texts).last_hidden_state.float(), None)
        outputs = [self._run(i, texts) for i in range(len(self.networks))]
        tokens = torch.cat([output.hidden_states[-2].float() for output in outputs], dim=-1)
        pooled = outputs[-1].text_embeds.float()
        if self._joint_width is not None:
            missing = self._joint_width - tokens.shape[-1]
            tokens = nn.functional.pad(tokens, (0, missing, 0, T5_TOKENS))
            pooled = torch.cat([outputs[0].text_embeds.float(), pooled], dim=-1)
        if self._zero_for_empty:
            said = torch.tensor([bool(text) for text in texts], device=tokens.device).float()
            tokens, pooled = tokens * said[:, None, None], pooled * said[:, None]
        return TextEmbedding(tokens, pooled)

    def _run(self, i: int, texts: list[str]) -> Any:
        network, limit = self.networks[i], self._limits[i]
        device = next(network.parameters()).device
        encoded = self.tokenizers[i](
            texts, padding="max_length", max_length=limit, truncation=True, return_tensors="pt"
        ).to(device)
        # The published pipelines pass the mask only where the encoder's config asks for it; models are trained so.
        mask = encoded.attention_mask if getattr(network.config, "use_attention_mask", False) else None
        return network(encoded.input_ids, attention_mask=mask, output_hidden_states=True)


def _token_limit(tokenizer: Any, network: nn.Module) -> int:
    positions = getattr(network.config, "max_position_embeddings", tokenizer.model_max_length)
    return int(min(tokenizer.model_max_length, positions))  # a tokenizer without a limit says 1e30

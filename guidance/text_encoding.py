"""Texts to embeddings by diffusers' own `encode_prompt` of the model's family.

Text encoders are in memory only while texts are embedded; what they said is kept on this disk (embedding_cache.py), so
that a run that goes on, or another one with the same texts, does not load them.
"""

from collections.abc import Sequence
from copy import deepcopy
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.errors import UserError
from guidance.add_ons import AddOns
from guidance.embedding_cache import content_key, find_embedding, keep_embedding
from guidance.model_families import ModelFamily, TextEmbedding
from guidance.model_gate import followed, tokenizer_of
from guidance.model_source import ModelSource
from guidance.pipelines import text_pipeline
from guidance.textual_inversion import teach_encoder, teach_tokenizer


class TextEncoder:
    """The tokenizers and text encoders of one model, with what a recipe adds to them.

    Args:
        encoders: folders of the text encoders that are read, in the pipeline's order.
    """

    def __init__(self, source: ModelSource, family: ModelFamily, encoders: Sequence[str], add_ons: AddOns) -> None:
        self._source, self._family, self._encoders, self._add_ons = source, family, encoders, add_ons

    @cached_property
    def _tokenizers(self) -> dict[str, Any]:
        """By the folders of their encoders; each knows how many tokens its encoder reads, and the recipe's words."""
        tokenizers: dict[str, Any] = {}
        for part in self._encoders:
            with followed(self._source):
                tokenizer = self._source.tokenizer(tokenizer_of(part))
                most = self._source.config(part).get("max_position_embeddings") or self._family.t5_tokens
                if most:  # a tokenizer may say 1e30
                    tokenizer.model_max_length = min(tokenizer.model_max_length, most)
            if part != self._family.t5:
                teach_tokenizer(tokenizer, self._add_ons.words)
            tokenizers[part] = tokenizer
        return tokenizers

    def fits(self, text: str) -> bool:
        """Whether every encoder that has to reads the text to its end."""
        readers = [self._tokenizers[part] for part in self._family.readers or self._family.text_encoders]
        return all(
            len(tokenizer(self._spelt(text, tokenizer), verbose=False).input_ids) <= tokenizer.model_max_length
            for tokenizer in readers
        )

    def embed(self, texts: list[str], dtype: torch.dtype, device: torch.device) -> TextEmbedding:
        """Embeddings of texts in the precision of a denoiser, by encoders in the same one.

        Raises:
            UserError: the denoiser takes others, being of another model.
        """
        family, taken = self._family.title, self._family.config.get(self._family.text_width)
        read = [family, str(taken), str(self._source.index.get("force_zeros_for_empty_prompt"))]
        words = [*read, str(dtype), device.type, *self._add_ons.content(), *texts]
        key = content_key(self._files(), words)
        found = find_embedding(key)
        if found is None:
            found = self._embed(texts, dtype, device).as_type(dtype)
            keep_embedding(key or content_key(self._files(), words), found)  # the files of a hub id are here by now
        given = found.tokens.shape[-1]
        if isinstance(taken, int) and taken != given:
            misfit = f"its text encoder gives {given} numbers for a token and its denoiser takes {taken}"
            raise UserError(f"model '{self._source.name}': {misfit}; they are of different models")
        return found.to(device)

    @torch.no_grad()
    def _embed(self, texts: list[str], dtype: torch.dtype, device: torch.device) -> TextEmbedding:
        return self._family.embed(self.pipeline(dtype, device), texts, device)

    def pipeline(self, dtype: torch.dtype, device: torch.device) -> Any:
        """Diffusers' pipeline with the text encoders, freshly read, and tokenizers of its own.

        Raises:
            UserError: a text encoder cannot be read, or an add-on does not fit it.
        """
        networks = {part: self._network(part, dtype).to(device) for part in self._encoders}
        tokenizers = {tokenizer_of(part): deepcopy(tokenizer) for part, tokenizer in self._tokenizers.items()}
        return text_pipeline(self._family.pipeline, self._source, {**networks, **tokenizers})

    def _network(self, part: str, dtype: torch.dtype) -> nn.Module:
        network = self._source.network(part, dtype)
        if part != self._family.t5:
            place = self._encoders.index(part)
            teach_encoder(network, self._tokenizers[part], self._add_ons.words, place)
        self._add_ons.merge_into(network, part, self._family)
        return network

    def _files(self) -> list[Path] | None:
        """All that an embedding depends on, beside texts and add-ons; None where a file is not on this disk yet."""
        found = [self._source.files(part) for each in self._encoders for part in (each, tokenizer_of(each))]
        if not all(found):
            return None
        return list(dict.fromkeys(file for files in found for file in files))  # a single file is all parts' own

    def _spelt(self, text: str, tokenizer: Any) -> str:
        """A text with words of several embeddings written out, as diffusers' pipelines do."""
        from diffusers.loaders.textual_inversion import TextualInversionLoaderMixin

        return str(TextualInversionLoaderMixin().maybe_convert_prompt(text, tokenizer)) if self._add_ons.words else text

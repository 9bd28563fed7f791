"""Textual inversions: words of a prompt that stand for embeddings learnt from pictures.

A file holds one word's embedding, or several that follow each other, for each text encoder. It is read as diffusers,
its training scripts and AUTOMATIC1111's web UI write it.

Source: Gal et al., An Image is Worth One Word (arXiv:2208.01618), section 4.
"""

import pickle
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from core.errors import UserError, first_line

#: Words that only an embedding can give a meaning; a sign of less or more has a space beside it.
_BRACKETED = re.compile(r"<(?! )[^<>]+(?<! )>")
#: How other programs add a LoRA: <lora:style:0.8>.
_LORA = re.compile(r"<(?:lora|lyco):(?P<file>[^:<>]+)(?::(?P<scale>-?[\d.]+))?[^<>]*>")
#: The keys of a file for several text encoders, in the order of the encoders.
_ENCODERS = ("clip_l", "clip_g")
#: What stands for a name in a file that has none.
_NAMELESS = ("emb_params", "*", *_ENCODERS)


@dataclass(frozen=True)
class EmbeddingFile:
    """One textual inversion of a recipe."""

    path: Path
    """Its file: *.safetensors, or *.pt and *.bin, of which tensors alone are read."""
    token: str | None = None
    """The word of the prompt that it stands for; null: as the file says, else the file's name without its ending."""


@dataclass(frozen=True)
class LearntWord:
    """A word and what text encoders take for it.

    Attributes:
        token: as the prompt says it.
        vectors: for each text encoder, its embeddings (pieces, width).
        where: the setting and the file that it is from, for messages.
    """

    token: str
    vectors: tuple[Tensor, ...]
    where: str = ""

    def misfit(self, what: str) -> UserError:
        """The error of a word that does not fit a model."""
        return UserError(f"{self.where}: {what}" if self.where else what)

    @property
    def pieces(self) -> list[str]:
        """The tokens it adds to the tokenizer, named as diffusers names them: <cat>, <cat>_1, <cat>_2."""
        return [self.token, *(f"{self.token}_{i}" for i in range(1, len(self.vectors[0])))]


def read_word(file: EmbeddingFile, setting: str = "embeddings") -> LearntWord:
    """The word that a file holds.

    Args:
        setting: the full path of the recipe's setting that names it.

    Raises:
        UserError: the file is missing, holds more than tensors, or is no textual inversion.
    """
    content = _read(file.path)
    name = content.get("name")
    if isinstance(parameters := content.get("string_to_param"), Mapping):
        content = parameters
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    chosen = [tensors[key] for key in _ENCODERS if key in tensors] or list(tensors.values())
    if not chosen or (len(chosen) > 1 and len(chosen) != sum(key in tensors for key in _ENCODERS)):
        held = ", ".join(sorted(map(str, content))[:4]) or "nothing"
        raise UserError(f"{file.path} is no textual inversion of one word (it holds {held})")
    vectors = tuple(value.detach().float().reshape(-1, value.shape[-1]) for value in chosen)
    if len({len(each) for each in vectors}) > 1:
        raise UserError(f"{file.path} has another number of embeddings for each text encoder")
    key = next(iter(tensors))
    stored = name if isinstance(name, str) and name else (key if key not in _NAMELESS else file.path.stem)
    return LearntWord(file.token or stored, vectors, f"{setting}: {file.path}")


def _read(path: Path) -> Mapping[Any, Any]:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        if path.suffix not in (".pt", ".bin"):
            raise UserError(f"{path}: a textual inversion ends in .safetensors, .pt or .bin")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError(f"no file {path}; give a textual inversion's *.safetensors") from error
    except pickle.UnpicklingError as error:
        raise UserError(
            f"{path} is a pickle that holds more than tensors, which may run code when it is read. Convert it where "
            "you trust it: `safetensors.torch.save_file({TOKEN: EMBEDDING}, FILE)`"
        ) from error
    except UserError:
        raise
    except Exception as error:  # safetensors and torch have a dozen kinds
        raise UserError(f"{path} cannot be read: {first_line(error)}") from error
    return content if isinstance(content, Mapping) else {path.stem: content}


def teach_tokenizer(tokenizer: Any, words: Sequence[LearntWord]) -> None:
    """Let a tokenizer know words.

    Raises:
        UserError: it knows one already.
    """
    known = frozenset(tokenizer.get_vocab()) if words else frozenset()  # which a tokenizer lets be added once more
    for word in words:
        for piece in word.pieces:
            if piece in known or tokenizer.add_tokens(piece) != 1:
                raise word.misfit(f"the word '{piece}' has a meaning already; give it another token")


def teach_encoder(encoder: Any, tokenizer: Any, words: Sequence[LearntWord], place: int) -> None:
    """Let a text encoder know what a tokenizer's new words mean.

    Args:
        place: the encoder's place among the pipeline's.

    Raises:
        UserError: an embedding is for another number of encoders, or of another width.
    """
    if not words:
        return
    with torch.random.fork_rng(devices=[]):
        encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    table: nn.Parameter = encoder.get_input_embeddings().weight
    for word in words:
        vectors = word.vectors[place]
        if vectors.shape[1] != table.shape[1]:
            raise word.misfit(
                f"the embedding of '{word.token}' has {vectors.shape[1]} numbers, the text encoder's words have "
                f"{table.shape[1]}: it was made for another model"
            )
        table.data[tokenizer.convert_tokens_to_ids(word.pieces)] = vectors.to(table)


def check_words(
    words: Sequence[LearntWord], n_encoders: int, prompt: str, negative_prompt: str = "", setting: str = "embeddings"
) -> None:
    """Refuse embeddings that a prompt does not use, and words in angle brackets that nothing gives a meaning.

    Args:
        setting: the full path of the recipe's embeddings.

    Raises:
        UserError: naming the word.
    """
    for word in words:
        if len(word.vectors) != n_encoders:
            raise UserError(
                f"{setting}: '{word.token}' is for {len(word.vectors)} text encoder(s), the model has {n_encoders}"
            )
        if not _says(word.token, f"{prompt} {negative_prompt}"):
            raise UserError(
                f"{setting}: '{word.token}' does not occur in the prompt '{prompt}'; write it there, or leave it out"
            )
    known = [word.token for word in words]
    for found in _BRACKETED.findall(f"{prompt} {negative_prompt}"):
        if lora := _LORA.fullmatch(found):
            said = f"{setting.removesuffix('embeddings')}lora=[{{path: {lora['file']}.safetensors"
            scale = f", scale: {lora['scale']}" if lora["scale"] else ""
            raise UserError(f"prompt: leave '{found}' out; a LoRA is a setting here: {said}{scale}}}]")
        if found not in known:
            defined = f"defined are {', '.join(known)}" if known else f"give its file as {setting}=[FILE]"
            raise UserError(f"prompt: nothing says what '{found}' means; {defined}")


def _says(token: str, text: str) -> bool:
    """Whether a text holds a token, and not merely a longer word that does."""
    before, after = (r"\b" if re.match(r"\w", edge) else "" for edge in (token[0], token[-1]))
    return re.search(f"{before}{re.escape(token)}{after}", text) is not None

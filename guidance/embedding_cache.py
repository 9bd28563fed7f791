"""Embeddings of texts, kept on this disk by the content of all that made them.

They lie in `latent-nerf/embeddings` of $XDG_CACHE_HOME, else of ~/.cache, and may be deleted at any time.
"""

import logging
from collections.abc import Sequence
from hashlib import file_digest, sha256
from importlib.metadata import version
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from core.files import user_cache, whole_file
from guidance.model_families import TextEmbedding

log = logging.getLogger(__name__)

#: Files that are kept; the oldest go first. One of Stable Diffusion is 1 MB, one of SD 3 up to 30 MB.
MOST_KEPT = 64


def content_key(files: Sequence[Path] | None, words: Sequence[str]) -> str | None:
    """What an embedding is found by; None where there are no files.

    Args:
        files: of the model's encoders and tokenizers.
        words: texts, precision, add-ons.
    """
    if files is None:
        return None
    digest = sha256("\0".join([*map(version, ("torch", "transformers", "diffusers")), *words]).encode())
    for path in files:
        blob = path.resolve()
        if blob.parent.name == "blobs" and len(blob.name) == 64:  # the hub's cache names weights by their digest
            content = blob.name
        else:
            with path.open("rb") as file:
                content = file_digest(file, "sha256").hexdigest()
        digest.update(f"\0{path.name}\0{content}".encode())
    return digest.hexdigest()


def find_embedding(key: str | None) -> TextEmbedding | None:
    """The embedding that was kept; None where there is none, or a broken one."""
    if key is None:
        return None
    try:
        tensors = load_file(_folder() / f"{key}.safetensors")
        return TextEmbedding(**tensors)
    except (OSError, SafetensorError, TypeError):  # not there, or broken: it is made anew
        return None


def keep_embedding(key: str | None, embedding: TextEmbedding) -> None:
    """Keep an embedding for next time, where there is a place for it."""
    if key is None:
        return
    held = {"tokens": embedding.tokens, "pooled": embedding.pooled, "mask": embedding.mask}
    tensors = {name: tensor for name, tensor in held.items() if tensor is not None}
    try:
        with whole_file(_folder() / f"{key}.safetensors") as unfinished:
            save_file({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}, unfinished)
        by_age = sorted(_folder().glob("*.safetensors"), key=lambda file: file.stat().st_mtime, reverse=True)
        for file in by_age[MOST_KEPT:]:
            file.unlink(missing_ok=True)
    except (OSError, SafetensorError) as error:
        log.warning("%s: embeddings of texts cannot be kept (%s); they are made again next time", _folder(), error)


def _folder() -> Path:
    return user_cache() / "embeddings"

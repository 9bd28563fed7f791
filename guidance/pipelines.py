"""Pipelines of diffusers, made of the few parts that encode texts."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch

from guidance.model_source import ModelSource


def text_pipeline(name: str, source: ModelSource, parts: Mapping[str, Any]) -> Any:
    """A pipeline that has tokenizers and text encoders alone.

    Args:
        name: of its class.
        parts: by the names that the pipeline calls them.
    """
    pipeline_class = diffusers_class(name)
    wanted = inspect.signature(pipeline_class.__init__).parameters
    given: dict[str, Any] = dict.fromkeys(part for part, each in wanted.items() if each.default is each.empty)
    del given["self"]
    if "requires_safety_checker" in wanted:
        given["requires_safety_checker"] = False  # or it warns
    if "force_zeros_for_empty_prompt" in wanted:
        given["force_zeros_for_empty_prompt"] = bool(source.index.get("force_zeros_for_empty_prompt", False))
    if "text_encoder_3" in wanted:  # Stable Diffusion 3 asks its transformer for its width, where T5 is left out
        with torch.device("meta"):
            given["transformer"] = source.part_class("transformer").from_config(source.config("transformer"))
    return pipeline_class(**{**given, **parts})


def diffusers_class(name: str) -> Any:
    """A pipeline's class; transformers' advice to install torchvision, which no text needs, is not shown."""
    import diffusers
    from transformers.utils import logging

    level = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        return getattr(diffusers, name)
    finally:
        logging.set_verbosity(level)

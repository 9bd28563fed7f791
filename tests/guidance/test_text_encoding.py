"""Embeddings agree with those of diffusers' own pipelines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from guidance.latent_diffusion import LatentDiffusion
from guidance.model_families import TextEmbedding
from guidance.model_source import find_model
from tests.tiny_pipelines import Family, Layout, make_tiny_model

TEXTS = ["a red mushroom", ""]


def _pipeline(layout: str, folder: Path) -> Any:
    import diffusers

    names = {"sd": "StableDiffusionPipeline", "xl": "StableDiffusionXLPipeline", "sd3": "StableDiffusion3Pipeline"}
    parts = {"sd": {"safety_checker": None}, "xl": {}, "sd3": {"text_encoder_3": None, "tokenizer_3": None}}
    return getattr(diffusers, names[layout]).from_pretrained(folder, **parts[layout])


def _published(layout: str, folder: Path) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Token embeddings and pooled ones of TEXTS, the second as the pipeline's own empty negative prompt."""
    pipeline = _pipeline(layout, folder)
    if layout == "sd":
        text, empty = pipeline.encode_prompt(TEXTS[0], "cpu", 1, True)
        return torch.cat([text, empty]), None
    prompts = [TEXTS[0]] * (2 if layout == "xl" else 3)
    text, empty, pooled, pooled_empty = pipeline.encode_prompt(*prompts, device="cpu")
    return torch.cat([text, empty]), torch.cat([pooled, pooled_empty])


@pytest.mark.parametrize("layout", ["sd", "xl", "sd3"])
def test_as_the_published_pipelines_embed(layout: str, tiny_model: Callable[..., Path]):
    folder = tiny_model("flow" if layout == "sd3" else "epsilon", layout)
    ours = LatentDiffusion(find_model(str(folder))).embed_text(TEXTS)
    tokens, pooled = _published(layout, folder)
    torch.testing.assert_close(ours.tokens, tokens)
    if pooled is None:
        assert ours.pooled is None
    else:
        assert ours.pooled is not None
        torch.testing.assert_close(ours.pooled, pooled)


def test_fits_up_to_the_last_token(tiny_model: Callable[..., Path]):
    model = LatentDiffusion(find_model(str(tiny_model())))  # 24 tokens, two of them for start and end, one per letter
    assert model.fits("x" * 22)
    assert not model.fits("x" * 23)


@pytest.mark.parametrize(("family", "layout"), [("flow", "flux"), ("epsilon", "pixart")])
def test_where_t5_alone_reads_it_counts(family: Family, layout: Layout, tmp_path: Path):
    """32 tokens, one for the end and one for the space in front. Flux's CLIP reads 24, of which a sum alone is told."""
    model = LatentDiffusion(find_model(str(make_tiny_model(tmp_path, family, layout))))
    assert model.fits("x" * 30)
    assert not model.fits("x" * 31)


def test_a_mixture_has_the_tokens_of_all_its_texts():
    tokens, mask = torch.randn(3, 2, 4), torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    shares = torch.tensor([[0.25, 0.75], [1.0, 0.0]])
    mixed = TextEmbedding(tokens, mask=mask).mixed([shares, torch.tensor([-1, 0])])
    wanted = torch.stack([0.25 * tokens[0] + 0.75 * tokens[1], tokens[0], tokens[2], tokens[0]])
    torch.testing.assert_close(mixed.tokens, wanted)
    assert mixed.mask is not None
    assert mixed.mask.tolist() == [[1, 1], [1, 0], [0, 1], [1, 0]]


def test_select_gathers_both_tensors(tiny_model: Callable[..., Path]):
    text = LatentDiffusion(find_model(str(tiny_model("epsilon", "xl")))).embed_text(["a", "b"])
    chosen = text.select(torch.tensor([1, 1, 0]))
    assert chosen.pooled is not None
    assert text.pooled is not None
    torch.testing.assert_close(chosen.tokens, text.tokens[[1, 1, 0]])
    torch.testing.assert_close(chosen.pooled, text.pooled[[1, 1, 0]])

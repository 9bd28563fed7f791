"""The law: what guidance is told of noise is what diffusers' own pipeline says, to 2e-5 of the largest value.

docs/models.md has the table of what is compared here.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.schedule import Schedule
from guidance.latent_sds import LatentSDS
from tests.guidance.published import FAMILIES, PLAIN, assert_equal, published_pipeline, reads_t5
from tests.tiny_pipelines import Layout


def _guidance(folder: Path, scale: float, **settings: Any) -> LatentSDS:
    fixed = {**PLAIN, "min_noise": Schedule.constant(0.1), "max_noise": Schedule.constant(0.9)}
    return LatentSDS(
        LatentSDS.Config(model=str(folder), guidance_scale=Schedule.constant(scale), **{**fixed, **settings})
    )


@pytest.mark.parametrize("scale", [1.0, 7.5, 100.0])
@pytest.mark.parametrize("name", FAMILIES)
def test_noise_and_gradient(name: str, scale: float, family_model: Callable[[str], tuple[Layout, Path]]):
    layout, folder = family_model(name)
    t5 = reads_t5(name)
    assert_equal(_guidance(folder, scale, t5=t5), published_pipeline(layout, folder, t5=t5), scale)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", FAMILIES)
def test_in_half_precision(name: str, precision: str, family_model: Callable[[str], tuple[Layout, Path]]):
    layout, folder = family_model(name)
    t5 = reads_t5(name)
    pipeline = published_pipeline(layout, folder, getattr(torch, precision), t5)
    # Batches of other sizes may be rounded in another order: a few last digits, which guidance enlarges.
    law = 2 * 7.5 * torch.finfo(getattr(torch, precision)).eps
    assert_equal(_guidance(folder, 7.5, precision=precision, t5=t5), pipeline, 7.5, law=law)


@pytest.mark.parametrize("name", FAMILIES)
def test_with_a_negative_prompt(name: str, family_model: Callable[[str], tuple[Layout, Path]]):
    layout, folder = family_model(name)
    t5 = reads_t5(name)
    guidance = _guidance(folder, 7.5, negative_prompt="blurry", t5=t5)
    assert_equal(guidance, published_pipeline(layout, folder, t5=t5), 7.5, negative="blurry")

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
from tests.guidance.published import PLAIN, assert_equal, published_pipeline
from tests.tiny_pipelines import Layout, make_tiny_model

ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
#: Family: its layout, and how its tiny model is made.
FAMILIES: dict[str, tuple[Layout, dict[str, Any]]] = {
    "sd-epsilon": ("sd", {"family": "epsilon"}),
    "sd-v": ("sd", {"family": "v_prediction"}),
    "sd-v-zero-snr": ("sd", {"family": "v_prediction", "scheduler": ZERO_SNR}),
    "xl": ("xl", {"family": "epsilon"}),
    "sd3": ("sd3", {"family": "flow"}),
    "sd3-t5": ("sd3", {"family": "flow", "t5": True}),
    "flux": ("flux", {"family": "flow", "scheduler": {"use_dynamic_shifting": True}}),
    "flux-told-guidance": ("flux", {"family": "flow", "transformer": {"guidance_embeds": True}}),
    "pixart": ("pixart", {"family": "epsilon"}),
}


@pytest.fixture(scope="module")
def family_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Layout, Path]]:
    """A function: name of a family -> layout and folder."""
    made: dict[str, Path] = {}

    def model(name: str) -> tuple[Layout, Path]:
        layout, settings = FAMILIES[name]
        if name not in made:
            made[name] = make_tiny_model(tmp_path_factory.mktemp(name), layout=layout, **settings)
        return layout, made[name]

    return model


def _guidance(folder: Path, scale: float, **settings: Any) -> LatentSDS:
    fixed = {**PLAIN, "min_noise": Schedule.constant(0.1), "max_noise": Schedule.constant(0.9)}
    return LatentSDS(
        LatentSDS.Config(model=str(folder), guidance_scale=Schedule.constant(scale), **{**fixed, **settings})
    )


@pytest.mark.parametrize("scale", [1.0, 7.5, 100.0])
@pytest.mark.parametrize("name", FAMILIES)
def test_noise_and_gradient(name: str, scale: float, family_model: Callable[[str], tuple[Layout, Path]]):
    layout, folder = family_model(name)
    t5 = name == "sd3-t5"
    assert_equal(_guidance(folder, scale, t5=t5), published_pipeline(layout, folder, t5=t5), scale)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", FAMILIES)
def test_in_half_precision(name: str, precision: str, family_model: Callable[[str], tuple[Layout, Path]]):
    layout, folder = family_model(name)
    t5 = name == "sd3-t5"
    pipeline = published_pipeline(layout, folder, getattr(torch, precision), t5)
    # Batches of other sizes may be rounded in another order: a few last digits, which guidance enlarges.
    law = 2 * 7.5 * torch.finfo(getattr(torch, precision)).eps
    assert_equal(_guidance(folder, 7.5, precision=precision, t5=t5), pipeline, 7.5, law=law)


@pytest.mark.parametrize("name", FAMILIES)
def test_with_a_negative_prompt(name: str, family_model: Callable[[str], tuple[Layout, Path]]):
    layout, folder = family_model(name)
    t5 = name == "sd3-t5"
    guidance = _guidance(folder, 7.5, negative_prompt="blurry", t5=t5)
    assert_equal(guidance, published_pipeline(layout, folder, t5=t5), 7.5, negative="blurry")

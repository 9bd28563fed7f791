"""A model of Stable Diffusion's size, here made narrow: read as the real one is, and good to measure speed with."""

from pathlib import Path
from typing import Any

import pytest
import torch

from app.parts import register_parts
from benchmarks.random_model import UNET, random_stable_diffusion
from benchmarks.speed import PARTS, measure_speed, report
from guidance.latent_diffusion import LatentDiffusion
from guidance.model_source import find_model

ROOT = Path(__file__).parents[2]
NARROW: dict[str, Any] = {"block_out_channels": (32, 32, 32, 32)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_stable_diffusion(tmp_path_factory.mktemp("random") / "model", NARROW, NARROW, text_layers=1)


def test_it_is_read_as_stable_diffusion(model: Path):
    diffusion = LatentDiffusion(find_model(str(model)))
    assert (diffusion.latent_size, diffusion.autoencoder.pixel_factor, diffusion.n_timesteps) == (64, 8, 1000)
    text = diffusion.embed_text(["an owl", ""])
    assert text.tokens.shape[1:] == (77, UNET["cross_attention_dim"])
    assert diffusion.predict(torch.randn(2, 64, 64, 4), torch.tensor([10, 900]), text).isfinite().all()


def test_it_is_made_once(model: Path):
    before = (model / "unet" / "config.json").stat().st_mtime_ns
    assert random_stable_diffusion(model) == model
    assert (model / "unet" / "config.json").stat().st_mtime_ns == before


def test_speed_is_measured_in_parts_that_add_up(tmp_path: Path):
    register_parts()
    model = random_stable_diffusion(tmp_path / "model", {**NARROW, "sample_size": 8}, NARROW, text_layers=1)
    small = ["system.geometry.n_levels=1", "system.geometry.finest_resolution=16", "system.geometry.base_resolution=16"]
    small += ["system.renderer.samples_per_ray=4", "system.renderer.occupancy_resolution=8"]
    config = ROOT / "configs" / "latent-nerf-sd.yaml"
    figures = measure_speed(config, [*small, f"system.guidance.model={model}"], "cpu", 1)
    steps = figures["milliseconds"]
    assert figures["steps_per_second"] == pytest.approx(1e3 / steps["free"], rel=1e-2)
    assert all(steps[name] > 0 for name in ("step", "field and renderer", "guidance", "backward", "optimizer"))
    assert sum(steps[name] for name in PARTS) == pytest.approx(steps["step"], rel=0.3)  # medians of three rounds each
    assert f"{figures['steps_per_second']:.2f} steps/s of 1 views" in report(figures)

"""The frozen model: what it predicts is what diffusers' own networks and samplers say."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers as untyped_diffusers
import pytest
import torch

from guidance.latent_diffusion import LatentDiffusion
from guidance.model_source import find_model
from tests.tiny_pipelines import make_tiny_model

# Its names are made at run time, where pyright cannot see them.
diffusers: Any = untyped_diffusers

ALL = [("epsilon", "sd"), ("v_prediction", "sd"), ("flow", "sd"), ("epsilon", "xl"), ("flow", "sd3")]


def _noisy(n_views: int) -> torch.Tensor:
    return torch.randn(n_views, 8, 8, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("family", ["epsilon", "v_prediction"])
def test_predicted_noise_is_the_samplers(family: str, tiny_model: Callable[..., Path]):
    folder = tiny_model(family)
    model = LatentDiffusion(find_model(str(folder)))
    text = model.embed_text(["a red mushroom"])
    noisy, timestep = _noisy(1), torch.tensor([321])
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet")
    sampler = diffusers.DDIMScheduler.from_pretrained(folder / "scheduler")
    with torch.no_grad():
        output = unet(noisy.permute(0, 3, 1, 2), 321, encoder_hidden_states=text.tokens).sample
    sampler.set_timesteps(1000)
    clean = sampler.step(output, 321, noisy.permute(0, 3, 1, 2)).pred_original_sample
    abar = sampler.alphas_cumprod[321]
    expected = ((noisy.permute(0, 3, 1, 2) - abar.sqrt() * clean) / (1 - abar).sqrt()).permute(0, 2, 3, 1)
    torch.testing.assert_close(model.predict(noisy, timestep, text), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("family", "layout"), ALL)
def test_views_do_not_mix(family: str, layout: str, tiny_model: Callable[..., Path]):
    model = LatentDiffusion(find_model(str(tiny_model(family, layout))))
    text = model.embed_text(["red", "blue"])
    noisy, timestep = _noisy(2), torch.tensor([10, 900])
    together = model.predict(noisy, timestep, text)
    alone = model.predict(noisy[1:], timestep[1:], text.select(torch.tensor([1])))
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)
    other = model.predict(noisy[1:], timestep[1:], text.select(torch.tensor([0])))
    assert not torch.allclose(alone, other, atol=1e-6), "the text must matter"


def test_everything_is_read_from_the_folder(tmp_path: Path):
    folder = make_tiny_model(tmp_path, latent_size=16, channels=6, scheduler={"num_train_timesteps": 50})
    model = LatentDiffusion(find_model(str(folder)))
    assert (model.latent_size, model.autoencoder.n_channels, model.n_timesteps) == (16, 6, 50)


def test_stored_halves_are_used_as_float32(tmp_path: Path):
    model = LatentDiffusion(find_model(str(make_tiny_model(tmp_path, dtype=torch.float16))))
    assert {weight.dtype for weight in model.denoiser.parameters()} == {torch.float32}
    predicted = model.predict(_noisy(1), torch.tensor([5]), model.embed_text(["red"]))
    assert predicted.dtype == torch.float32


def test_weights_in_bfloat16_predict_nearly_the_same(tiny_model: Callable[..., Path]):
    model = LatentDiffusion(find_model(str(tiny_model())))
    noisy, timestep = _noisy(1), torch.tensor([500])
    full = model.predict(noisy, timestep, model.embed_text(["red"]))
    model.use_precision(torch.bfloat16)
    half = model.predict(noisy, timestep, model.embed_text(["red"]))
    assert half.dtype == torch.float32
    assert ((half - full).norm() / full.norm()).item() < 0.05


def test_nothing_of_it_is_trained_or_saved(tiny_model: Callable[..., Path]):
    model = LatentDiffusion(find_model(str(tiny_model())))
    assert list(model.parameters()) == []
    assert model.state_dict() == {}


@pytest.mark.parametrize(("family", "layout"), ALL)
def test_with_less_memory_views_are_seen_one_by_one(
    family: str, layout: str, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    model = LatentDiffusion(find_model(str(tiny_model(family, layout))))
    seen: list[int] = []
    call = model.adapter.call

    def counted(network: Any, noisy: torch.Tensor, *told: torch.Tensor) -> torch.Tensor:
        seen.append(len(noisy))
        return call(network, noisy, *told)

    monkeypatch.setattr(model.adapter, "call", counted)
    asked = _noisy(3), torch.tensor([10, 500, 900]), model.embed_text(["red", "blue", "green"])
    together = model.predict(*asked)
    model.autoencoder.takes_less = True
    torch.testing.assert_close(model.predict(*asked), together, rtol=1e-4, atol=1e-5)
    assert seen == [3, 1, 1, 1]

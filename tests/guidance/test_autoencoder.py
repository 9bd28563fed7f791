"""Pictures to normalised latents and back, by each way that VAEs normalise."""

from pathlib import Path
from typing import Any

import diffusers as untyped_diffusers
import pytest
import torch

from core.errors import UserError
from guidance.autoencoder import Autoencoder
from guidance.model_source import find_model
from tests.tiny_pipelines import make_tiny_model

# Its names are made at run time, where pyright cannot see them.
diffusers: Any = untyped_diffusers

FACTORS = [
    {"scaling_factor": 0.18215},
    {"scaling_factor": 1.5305, "shift_factor": 0.0609},
    {"scaling_factor": 0.5, "latents_mean": [0.1, -0.2, 0.3, 0.0], "latents_std": [1.0, 2.0, 0.5, 4.0]},
]


@pytest.mark.parametrize("factors", FACTORS, ids=["scaling", "shift", "mean and std"])
def test_normalised_both_ways(factors: dict[str, Any], tmp_path: Path):
    folder = make_tiny_model(tmp_path, vae=factors)
    vae = diffusers.AutoencoderKL.from_pretrained(folder / "vae")
    picture = torch.rand(2, 16, 16, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        raw = vae.encode(picture.permute(0, 3, 1, 2) * 2 - 1).latent_dist.mean.permute(0, 2, 3, 1)
        mean = torch.tensor(factors.get("latents_mean", [factors.get("shift_factor", 0.0)] * 4))
        std = torch.tensor(factors.get("latents_std", [1.0] * 4))
        expected = factors["scaling_factor"] * (raw - mean) / std
        shown = (vae.decode(raw.permute(0, 3, 1, 2)).sample.permute(0, 2, 3, 1) / 2 + 0.5).clamp(0, 1)
    autoencoder = Autoencoder(find_model(str(folder)))
    torch.testing.assert_close(autoencoder.encode(picture), expected)
    torch.testing.assert_close(autoencoder.decode(expected), shown)
    assert (autoencoder.n_channels, autoencoder.pixel_factor) == (4, 2)


def test_autoencoder_tiny(tmp_path: Path):
    folder = make_tiny_model(tmp_path, tiny_vae=True)
    vae = diffusers.AutoencoderTiny.from_pretrained(folder / "vae")
    picture = torch.rand(1, 16, 16, 3)
    autoencoder = Autoencoder(find_model(str(folder)))
    with torch.no_grad():
        expected = vae.encode(picture.permute(0, 3, 1, 2) * 2 - 1).latents.permute(0, 2, 3, 1)
    torch.testing.assert_close(autoencoder.encode(picture), expected)
    assert autoencoder.decode(expected).shape == (1, 16, 16, 3)


def test_many_pictures_are_the_same_as_few(tmp_path: Path):
    autoencoder = Autoencoder(find_model(str(make_tiny_model(tmp_path))))
    pictures = torch.rand(9, 16, 16, 3)
    torch.testing.assert_close(autoencoder.encode(pictures)[8:], autoencoder.encode(pictures[8:]))


def test_the_encoder_passes_gradients_on(tmp_path: Path):
    autoencoder = Autoencoder(find_model(str(make_tiny_model(tmp_path))))
    picture = torch.rand(1, 16, 16, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(autoencoder.encode(picture).sum(), picture)
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize(("upcast", "expected"), [(False, torch.bfloat16), (True, torch.float32)])
def test_a_vae_that_must_stay_in_float32_stays(upcast: bool, expected: torch.dtype, tmp_path: Path):
    source = find_model(str(make_tiny_model(tmp_path, dtype=torch.float16, vae={"force_upcast": upcast})))
    autoencoder = Autoencoder(source)
    assert autoencoder.network.dtype == torch.float32  # stored as float16
    autoencoder.use_precision(torch.bfloat16)
    assert autoencoder.network.dtype == expected
    assert autoencoder.encode(torch.rand(1, 16, 16, 3)).dtype == torch.float32


def test_it_is_read_when_it_is_first_needed(tmp_path: Path):
    folder = make_tiny_model(tmp_path)
    autoencoder = Autoencoder(find_model(str(folder)))
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    autoencoder.use_precision(torch.bfloat16)
    assert autoencoder.n_channels == 4
    with pytest.raises(UserError, match=r"vae holds no weights"):
        autoencoder.encode(torch.rand(1, 16, 16, 3))


def test_with_less_memory_the_gradient_is_the_same_and_little_is_kept_for_it(tmp_path: Path):
    autoencoder = Autoencoder(find_model(str(make_tiny_model(tmp_path))))
    pictures = torch.rand(3, 16, 16, 3, requires_grad=True)

    def gradient() -> tuple[torch.Tensor, int]:
        kept: list[torch.Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda each: kept.append(each) or each, lambda each: each):
            encoded = autoencoder.encode(pictures)
        return torch.autograd.grad(encoded.square().sum(), pictures)[0], sum(each.nbytes for each in kept)

    wanted, much = gradient()
    autoencoder.takes_less = True
    ours, little = gradient()
    torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-6)
    assert little < much / 20

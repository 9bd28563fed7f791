"""The linear map between latents and colour."""

import pytest
import torch

from guidance.latent_colour import STABLE_DIFFUSION_1, LinearColour, fit_linear_colour


def test_a_linear_world_is_found_again():
    rng = torch.Generator().manual_seed(0)
    truth = LinearColour(torch.randn(3, 4, generator=rng), torch.randn(3, generator=rng))
    latents = torch.randn(2000, 4, generator=rng)
    fitted = fit_linear_colour(latents, truth.rgb(latents), ridge=1e-9)
    torch.testing.assert_close(fitted.matrix, truth.matrix, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fitted.bias, truth.bias, rtol=1e-4, atol=1e-4)
    assert fitted.r_squared == pytest.approx(1.0)


def test_r_squared_is_the_explained_share_of_variance():
    rng = torch.Generator().manual_seed(0)
    latents, noise = torch.randn(50_000, 1, generator=rng), torch.randn(50_000, 3, generator=rng)
    fitted = fit_linear_colour(latents, latents + noise)  # signal and noise of the same variance
    assert fitted.r_squared == pytest.approx(0.5, abs=0.02)


def test_the_ridge_holds_directions_that_the_data_do_not_show():
    latents = torch.randn(100, 1, generator=torch.Generator().manual_seed(0)).expand(100, 2)
    fitted = fit_linear_colour(latents, latents[:, :1].expand(100, 3) / 2 + 0.5)
    torch.testing.assert_close(fitted.matrix, torch.full((3, 2), 0.5), rtol=1e-2, atol=1e-2)


def test_published_map_of_stable_diffusion_by_hand():
    z = torch.tensor([[1.0, 2.0, -1.0, 0.5]])
    red = (0.298 + 2 * 0.187 + 0.158 - 0.5 * 0.184 + 1) / 2
    assert STABLE_DIFFUSION_1.rgb(z)[0, 0].item() == pytest.approx(red)

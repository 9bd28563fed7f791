"""Score distillation against its formula."""

import pytest
import torch

from guidance.sds import (
    WEIGHTINGS,
    Weighting,
    add_noise,
    draw_timesteps,
    guided_noise,
    rescaled_noise,
    sds_gradient,
    sds_loss,
)


def _pictures(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_derivative_of_the_loss_is_g_over_views_and_pixels():
    latents = _pictures(0, 2, 3, 5, 4).requires_grad_()
    gradient = _pictures(1, 2, 3, 5, 4)
    loss = sds_loss(latents, gradient)
    (seen,) = torch.autograd.grad(loss, latents)
    torch.testing.assert_close(seen, gradient / (2 * 3 * 5), rtol=1e-4, atol=1e-7)
    assert loss.item() == pytest.approx(0.5 * gradient.square().sum().item() / 30, rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_small_gradient_survives_half_precision_latents(dtype: torch.dtype):
    latents = _pictures(0, 1, 8, 8, 4).to(dtype).requires_grad_()
    gradient = 1e-3 * _pictures(1, 1, 8, 8, 4)
    (seen,) = torch.autograd.grad(sds_loss(latents, gradient), latents)
    expected = gradient / 64
    assert ((seen.float() - expected).norm() / expected.norm()).item() < 0.01


def test_the_loss_is_float32_under_autocast():
    latents, gradient = _pictures(0, 1, 8, 8, 4), 1e-3 * _pictures(1, 1, 8, 8, 4)
    plain = sds_loss(latents, gradient)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = sds_loss(latents, gradient)
    assert mixed.dtype == torch.float32
    assert mixed.item() == plain.item()


def test_guidance_scale_means_the_published_formula():
    unconditional, conditional = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), 5.0)
    assert guided_noise(unconditional, conditional, 0.0).item() == 2
    assert guided_noise(unconditional, conditional, 1.0).item() == 5
    assert guided_noise(unconditional, conditional, 7.5).item() == 2 + 7.5 * 3


@pytest.mark.parametrize(("share", "expected"), [(0.0, 6.0), (0.5, 4.0), (1.0, 2.0)])
def test_rescaling_brings_contrast_towards_that_of_the_text(share: float, expected: float):
    """The picture asked for keeps its form, and its contrast lies `share` of the way to the text's own."""
    alpha, sigma = 0.8, 0.6
    noisy, form, other = (_pictures(seed, 1, 8, 8, 4) for seed in (0, 1, 2))
    glaring, plain = 6 * form / form.std(), 2 * other / other.std()
    guided, conditional = ((noisy - alpha * picture) / sigma for picture in (glaring, plain))
    found = rescaled_noise(noisy, guided, conditional, torch.tensor([sigma]), share)
    asked = (noisy - sigma * found) / alpha
    assert asked.std().item() == pytest.approx(expected, rel=1e-3)
    torch.testing.assert_close(asked / asked.std(), glaring / glaring.std(), rtol=1e-2, atol=1e-3)


def test_each_view_is_rescaled_by_its_own_contrast():
    noisy, guided, conditional = (_pictures(seed, 2, 4, 4, 4) for seed in (0, 1, 2))
    guided[1] *= 9
    sigma = torch.tensor([0.5, 0.9])
    both = rescaled_noise(noisy, guided, conditional, sigma, 0.7)
    for i in range(2):
        one = slice(i, i + 1)
        torch.testing.assert_close(
            both[one], rescaled_noise(noisy[one], guided[one], conditional[one], sigma[one], 0.7)
        )


def test_a_flat_answer_is_rescaled_to_finite_numbers():
    noisy = torch.zeros(1, 4, 4, 4)
    found = rescaled_noise(noisy, noisy, noisy, torch.tensor([0.5]), 1.0)
    assert bool(found.isfinite().all())


@pytest.mark.parametrize(("name", "expected"), [("sigma2", 0.36), ("sqrt-alpha-sigma2", 0.8 * 0.36), ("uniform", 1.0)])
def test_weights_by_name(name: Weighting, expected: float):
    assert WEIGHTINGS[name](torch.tensor([0.8]), torch.tensor([0.6])).item() == pytest.approx(expected)


def test_gradient_is_weight_times_surplus_of_predicted_noise():
    predicted, noise = torch.full((2, 1, 1, 1), 3.0), torch.full((2, 1, 1, 1), 1.0)
    assert sds_gradient(predicted, noise, torch.tensor([0.5, 2.0])).flatten().tolist() == [1.0, 4.0]


def test_noise_is_added_view_by_view():
    noisy = add_noise(
        torch.ones(2, 1, 1, 1), torch.ones(2, 1, 1, 1), torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    )
    assert noisy.flatten().tolist() == [1.0, 2.0]


def test_timesteps_cover_floor_to_ceiling_evenly():
    drawn = draw_timesteps(20_000, 0.2, 0.7, 1000, torch.Generator().manual_seed(0))
    assert int(drawn.min()) in range(200, 203)
    assert int(drawn.max()) in range(697, 700)
    counts = drawn.float().histc(5, 200, 700)
    assert counts.tolist() == pytest.approx([4000] * 5, rel=0.05)


def test_the_last_timestep_exists():
    assert draw_timesteps(3, 1.0, 1.0, 10, torch.Generator()).tolist() == [9, 9, 9]


def test_timesteps_follow_their_generator():
    first, second = (draw_timesteps(50, 0.0, 1.0, 1000, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first, second)

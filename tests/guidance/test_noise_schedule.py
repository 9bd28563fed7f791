"""Noise schedules against the definitions of their families."""

import pytest
import torch

from core.errors import UserError
from guidance.noise_schedule import noise_from_output, read_noise_schedule
from guidance.sds import add_noise

SCALED = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}


def test_ddpm_against_a_product_written_out():
    schedule = read_noise_schedule(SCALED)
    abar = 1.0
    for i in range(1000):
        beta = (0.00085**0.5 + (0.012**0.5 - 0.00085**0.5) * i / 999) ** 2
        abar *= 1 - beta
        if i in (0, 500, 999):
            assert schedule.alpha[i].item() == pytest.approx(abar**0.5, rel=1e-4)
            assert schedule.sigma[i].item() == pytest.approx((1 - abar) ** 0.5, rel=1e-4)
    assert schedule.network_time[[0, 999]].tolist() == [0, 999]


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("zero_snr", [False, True])
def test_alpha_and_sigma_lie_on_the_unit_circle(prediction: str, zero_snr: bool):
    schedule = read_noise_schedule({**SCALED, "prediction_type": prediction, "rescale_betas_zero_snr": zero_snr})
    assert schedule.family == prediction
    torch.testing.assert_close(schedule.alpha**2 + schedule.sigma**2, torch.ones(len(schedule)))
    assert bool((schedule.sigma.diff() > 0).all())


def test_zero_terminal_snr_ends_in_pure_noise():
    schedule = read_noise_schedule({**SCALED, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"})
    assert schedule.alpha[-1].item() == pytest.approx(0, abs=1e-6)
    assert schedule.sigma[-1].item() == 1
    assert bool(schedule.alpha.isfinite().all())


@pytest.mark.parametrize("sampler", ["PNDMScheduler", "EulerDiscreteScheduler", "DDIMScheduler"])
def test_the_sampler_named_in_the_folder_does_not_matter(sampler: str):
    extra = {"skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}
    torch.testing.assert_close(
        read_noise_schedule({**SCALED, **extra, "_class_name": sampler}).alpha, read_noise_schedule(SCALED).alpha
    )


def test_a_shift_that_depends_on_the_picture_is_none():
    """As diffusers' scheduler begins: Flux.1 [dev] says both."""
    plain, dynamic = (
        read_noise_schedule({**FLOW, **more}) for more in ({"shift": 1.0}, {"use_dynamic_shifting": True})
    )
    torch.testing.assert_close(dynamic.sigma, plain.sigma)


def test_flow_is_a_straight_line_with_shift():
    schedule = read_noise_schedule(FLOW)
    assert schedule.family == "flow"
    torch.testing.assert_close(schedule.alpha + schedule.sigma, torch.ones(1000))
    middle = 0.5 * 3 / (1 + 2 * 0.5)
    assert schedule.sigma[499].item() == pytest.approx(middle)
    assert schedule.network_time[499].item() == pytest.approx(1000 * middle)


@pytest.mark.parametrize("family", ["epsilon", "v_prediction", "flow"])
def test_a_perfect_network_gives_back_the_noise(family: str):
    config = FLOW if family == "flow" else {**SCALED, "prediction_type": family, "rescale_betas_zero_snr": True}
    schedule = read_noise_schedule(config)
    at = torch.tensor([3, 500, 999])
    alpha, sigma = schedule.alpha[at], schedule.sigma[at]
    rng = torch.Generator().manual_seed(0)
    clean, noise = torch.randn(2, 3, 2, 2, 4, generator=rng)
    noisy = add_noise(clean, noise, alpha, sigma)
    a, s = alpha[:, None, None, None], sigma[:, None, None, None]
    output = {"epsilon": noise, "v_prediction": a * noise - s * clean, "flow": noise - clean}[family]
    torch.testing.assert_close(noise_from_output(family, output, noisy, alpha, sigma), noise, rtol=1e-4, atol=1e-5)


def test_half_precision_outputs_are_combined_in_float32():
    half = torch.ones(1, 1, 1, 1, dtype=torch.float16)
    assert noise_from_output("v_prediction", half, half, torch.ones(1), torch.ones(1)).dtype == torch.float32


def test_an_unknown_prediction_type_is_refused():
    with pytest.raises(UserError, match="prediction_type 'sample' is not supported; epsilon, v_prediction and flow"):
        read_noise_schedule({**SCALED, "prediction_type": "sample"})

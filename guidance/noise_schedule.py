"""The noise schedule of a diffusion model, and the one meaning we give to what its network puts out.

Three families are read from a diffusers scheduler's config:

    epsilon       alpha = sqrt(abar), sigma = sqrt(1 - abar)    eps = output               z = (x_t - sigma eps) / alpha
    v-prediction  alpha = sqrt(abar), sigma = sqrt(1 - abar)    eps = alpha v + sigma x_t  z = alpha x_t - sigma v
    flow          alpha = 1 - s,      sigma = s                 eps = x_t + (1 - s) v      z = x_t - s v

Sources: DDPM (arXiv:2006.11239), eq. 4; progressive distillation (arXiv:2202.00512), appendix D, for v;
rectified flow as in Stable Diffusion 3 (arXiv:2403.03206), eq. 12; zero terminal SNR (arXiv:2305.08891), algorithm 1.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import UserError, first_line

FILE = "scheduler/scheduler_config.json"
#: Of any model: a thousand.
MOST_TIMESTEPS = 100_000
FAMILIES = ("epsilon", "v_prediction", "flow")


@dataclass(frozen=True)
class NoiseSchedule:
    """alpha and sigma over the timesteps, least noise first.

    Attributes:
        network_time: what the network is told at each timestep (its own unit).
        family: one of `FAMILIES`: what the network's output means.
    """

    alpha: Float[Tensor, "timesteps"]
    sigma: Float[Tensor, "timesteps"]
    network_time: Float[Tensor, "timesteps"]
    family: str

    def __len__(self) -> int:
        return len(self.alpha)


def read_noise_schedule(config: Mapping[str, Any]) -> NoiseSchedule:
    """The schedule that a model was trained with, from its `scheduler_config.json`.

    Which sampler the folder names does not matter: samplers of one family share the training schedule.

    Raises:
        UserError: for a prediction type that is none of the three families, or a scheduler of another kind.
    """
    n_timesteps = config.get("num_train_timesteps", 1000)
    if not isinstance(n_timesteps, int) or not 1 < n_timesteps <= MOST_TIMESTEPS:
        raise UserError(f"{FILE}: num_train_timesteps: from 2 to {MOST_TIMESTEPS}, got {n_timesteps}")
    try:
        schedule = _read(config)
    except (TypeError, ValueError, IndexError, RuntimeError) as error:  # what a library makes of a value
        raise UserError(f"{FILE}: makes no schedule of noise: {first_line(error)}") from error
    numbers = torch.stack([schedule.alpha, schedule.sigma, schedule.network_time])
    rises = len(schedule) > 1 and bool((schedule.sigma.diff() > -1e-6).all() and schedule.sigma[-1] > schedule.sigma[0])
    if not rises or not bool(numbers.isfinite().all()):
        raise UserError(f"{FILE}: makes no schedule of noise: its betas, or its shift, give none that rises")
    return schedule


def _read(config: Mapping[str, Any]) -> NoiseSchedule:
    if "FlowMatch" in str(config.get("_class_name", "")):
        return _flow_schedule(config)
    if str(config.get("timestep_type", "discrete")) != "discrete" or config.get("sigma_data") is not None:
        raise UserError(
            f"{FILE}: noise is scaled as in EDM (timestep_type: continuous); "
            "epsilon, v_prediction and flow matching are"
        )
    family = str(config.get("prediction_type", "epsilon"))
    if family not in ("epsilon", "v_prediction"):
        raise UserError(
            f"{FILE}: prediction_type '{family}' is not supported; epsilon, v_prediction and flow matching are"
        )
    return _ddpm_schedule({**_defaults(str(config.get("_class_name", "DDPMScheduler"))), **config}, family)


def _defaults(class_name: str) -> dict[str, Any]:
    """What a scheduler's config may leave out, of those that share DDPM's schedule; theirs differ."""
    import diffusers

    scheduler = getattr(diffusers, class_name, None)
    parameters = inspect.signature(scheduler.__init__).parameters if scheduler else {}
    if "beta_schedule" not in parameters or "sigma_data" in parameters:
        raise UserError(f"{FILE}: {class_name} has no schedule of betas or flow, which guidance needs")
    shared = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
    return {name: parameters[name].default for name in shared if name in parameters}


def _ddpm_schedule(config: Mapping[str, Any], family: str) -> NoiseSchedule:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    scheduler: Any = DDPMScheduler.from_config(dict(config))
    if not bool(((scheduler.betas >= 0) & (scheduler.betas <= 1)).all()):
        raise ValueError(f"betas from 0 to 1 do, got {scheduler.betas.min():g} to {scheduler.betas.max():g}")
    abar = scheduler.alphas_cumprod.double().clamp(0, 1)
    alpha, sigma = abar.sqrt(), (1 - abar).sqrt()
    return NoiseSchedule(alpha.float(), sigma.float(), torch.arange(len(abar)).float(), family)


def _flow_schedule(config: Mapping[str, Any]) -> NoiseSchedule:
    from diffusers.schedulers.scheduling_flow_match_euler_discrete import FlowMatchEulerDiscreteScheduler

    n_timesteps = int(config.get("num_train_timesteps", 1000))
    # Dynamic shifting depends on the picture's size and is left to samplers; the model itself was trained on all s.
    shift = 1.0 if config.get("use_dynamic_shifting") else float(config.get("shift", 1.0))
    scheduler: Any = FlowMatchEulerDiscreteScheduler(n_timesteps, shift=shift)
    sigma = scheduler.sigmas.flip(0).float()
    return NoiseSchedule(1 - sigma, sigma, scheduler.timesteps.flip(0).float(), "flow")


def noise_from_output(
    family: str,
    output: Float[Tensor, "views height width channels"],
    noisy: Float[Tensor, "views height width channels"],
    alpha: Float[Tensor, "views"],
    sigma: Float[Tensor, "views"],
) -> Float[Tensor, "views height width channels"]:
    """eps_hat from the network's raw output, in float32; no division, so alpha = 0 (zero terminal SNR) is safe."""
    output, noisy = output.float(), noisy.float()
    alpha, sigma = alpha[:, None, None, None], sigma[:, None, None, None]
    if family == "epsilon":
        return output
    if family == "v_prediction":
        return alpha * output + sigma * noisy
    return noisy + alpha * output


def picture_from_output(
    family: str,
    output: Float[Tensor, "views height width channels"],
    noisy: Float[Tensor, "views height width channels"],
    alpha: Float[Tensor, "views"],
    sigma: Float[Tensor, "views"],
) -> Float[Tensor, "views height width channels"]:
    """z_hat, the picture without noise that the network believes in, in float32.

    Not by way of eps_hat: where alpha is 0 (zero terminal SNR), that says nothing of the picture any more, and the
    outputs of v-prediction and flow matching still say all. A network that predicts noise needs alpha above 0.
    """
    output, noisy = output.float(), noisy.float()
    alpha, sigma = alpha[:, None, None, None], sigma[:, None, None, None]
    if family == "epsilon":
        return (noisy - sigma * output) / alpha
    if family == "v_prediction":
        return alpha * noisy - sigma * output
    return noisy - sigma * output

"""What diffusers' own pipelines do with the same model, add-ons, text and noisy latents."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from guidance.latent_sds import LatentSDS
from guidance.pipelines import diffusers_class
from tests.guidance.seen import cameras_at, seen_as
from tests.tiny_pipelines import PIPELINES, Layout

LAW = 2e-5
#: Settings under which guidance says what a plain pipeline does; `auto` is a CPU's own choice of precision.
PLAIN = {"view_dependent": False, "precision": "float32"}
ZERO_SNR = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
#: Families of models that the law is tested on: the layout of each, and how its tiny model is made.
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
#: Parts that tiny models of a layout do not have.
ABSENT: dict[Layout, list[str]] = {"sd": ["safety_checker"], "sd3": ["text_encoder_3", "tokenizer_3"]}


def reads_t5(family: str) -> bool:
    """Whether a model of this family is read with its T5 encoder."""
    return FAMILIES[family][1].get("t5", False)


def published_pipeline(layout: Layout, folder: Path, dtype: torch.dtype = torch.float32, t5: bool = False) -> Any:
    """Diffusers' pipeline of a folder."""
    absent = {} if t5 else dict.fromkeys(ABSENT.get(layout, []))
    pipeline = diffusers_class(PIPELINES[layout]).from_pretrained(folder, dtype=dtype, **absent)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def published_noise(
    pipeline: Any,
    prompt: str,
    noisy: Tensor,
    timestep: int,
    scale: float,
    negative: str | None,
    more: Mapping[str, Any] | None = None,
) -> Tensor:
    """eps_hat with guidance, of one picture (1 height width channels), from what the pipeline's denoiser says.

    The pipeline embeds the texts, calls its network at one timestep and is stopped at its scheduler; noise is read from
    the network's output by the scheduler's own numbers.

    Args:
        more: what else the pipeline is given.
    """
    outputs: list[Tensor] = []
    denoiser = pipeline.unet if hasattr(pipeline, "unet") else pipeline.transformer
    hook = denoiser.register_forward_hook(lambda module, inputs, output: outputs.append(output[0].float()))
    time, to_noise = _reading(pipeline.scheduler, timestep)
    pipeline.scheduler.set_timesteps = lambda *_, sigmas=None, **__: setattr(pipeline.scheduler, "timesteps", time)
    pipeline.scheduler.step = lambda output, t, latents, **_: (latents,)
    latents = noisy.movedim(-1, 1).to(denoiser.dtype)
    told = {"prompt": prompt, "num_inference_steps": 1, "latents": latents, "output_type": "latent"}
    guided = {"guidance_scale": scale, "negative_prompt": negative}
    pixels = pipeline.vae_scale_factor * noisy.shape[1]
    if "Flux" in type(pipeline).__name__:
        packed = pipeline._pack_latents(latents, 1, *latents.shape[1:])
        guided = {"true_cfg_scale": scale, "negative_prompt": negative or "", "height": pixels, "width": pixels}
        told["latents"] = packed
    if "PixArt" in type(pipeline).__name__:
        guided = {**guided, "negative_prompt": negative or "", "use_resolution_binning": False}
    try:
        pipeline(**told, **guided, **(more or {}))
    finally:
        hook.remove()
    output = torch.cat(outputs[::-1])  # Flux asks for the prompt first, and for the negative one in a second call
    if "Flux" in type(pipeline).__name__:
        output = pipeline._unpack_latents(output, pixels, pixels, pipeline.vae_scale_factor)
    output = output[:, : noisy.shape[-1]]  # a variance may follow
    parts = output.chunk(2) if len(output) == 2 else (output, output)
    assert len(output) == 2 - (scale == 1), "the pipeline answered both texts, or at scale 1 the prompt alone"
    mixed = parts[0] + scale * (parts[1] - parts[0])
    return to_noise(mixed.movedim(1, -1), noisy)


def assert_equal(
    guidance: LatentSDS,
    pipeline: Any,
    scale: float,
    prompt: str = "a red mushroom",
    negative: str | None = None,
    law: float = LAW,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Noise with guidance, and the gradient that the loss has on latents, to `law` of the largest value of each.

    Args:
        more: what else the pipeline is given.
    """
    guidance.prepare(prompt)
    latents = torch.randn(1, 8, 8, 4, generator=torch.Generator().manual_seed(1)).requires_grad_()
    cameras, seed = cameras_at([0], [0]), 7
    noisy = guidance.draw_noise(latents, 0, 1, torch.Generator().manual_seed(seed))
    guided = guidance.predict_noise(noisy, cameras, 0, 1).guided
    expected = published_noise(pipeline, prompt, noisy.latents, int(noisy.timestep), scale, negative, more)
    largest = expected.abs().max()
    assert (guided - expected).abs().max() <= law * largest
    loss = guidance(seen_as(latents), cameras, 0, 1, torch.Generator().manual_seed(seed)).loss
    (gradient,) = torch.autograd.grad(loss, latents)
    wanted = noisy.sigma.square() * (expected - noisy.noise)  # w(t) = sigma^2
    wanted = wanted / 64  # the loss is a mean over 8 x 8 latents
    assert (gradient - wanted).abs().max() <= law * wanted.abs().max()


def _reading(scheduler: Any, timestep: int) -> tuple[Tensor, Callable[[Tensor, Tensor], Tensor]]:
    """The network's time at a timestep, least noise first, and how noise is read from its output."""
    if "Flow" in type(scheduler).__name__:
        scheduler.timesteps, sigmas = scheduler.timesteps.flip(0), scheduler.sigmas.flip(0)
        sigma = sigmas[timestep]
        return scheduler.timesteps[timestep : timestep + 1], lambda output, noisy: noisy + (1 - sigma) * output
    abar = scheduler.alphas_cumprod[timestep].double()
    alpha, sigma = abar.sqrt().float(), (1 - abar).sqrt().float()
    if scheduler.config.prediction_type == "v_prediction":
        return torch.tensor([timestep]), lambda output, noisy: alpha * output + sigma * noisy
    return torch.tensor([timestep]), lambda output, noisy: output

"""Each score against its equation written out, view by view; noise that is white wherever it comes from."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.schedule import Schedule
from core.types import Cameras, RenderOutput
from guidance.latent_sds import LatentSDS
from guidance.low_rank import CORRECTED
from guidance.model_source import ModelSource
from guidance.scores import OPAQUE, NoisyLatents, inverted, surface_noise
from guidance.sds import normalized, shortened_gradient
from tests.guidance.seen import cameras_at, noisy_latents, seen_as
from tests.tiny_pipelines import Family, Layout

SCALE, CEILING = 7.0, 0.9


def make(folder: Path, part: type[LatentSDS] = LatentSDS, prompt: str = "red", **settings: Any) -> LatentSDS:
    settings = {
        "guidance_scale": Schedule.constant(SCALE),
        "max_noise": Schedule.constant(CEILING),
        "precision": "float32",
    } | settings
    guidance = part(part.Config(model=str(folder), **settings))
    guidance.prepare(prompt)
    return guidance


def gradient_of(guidance: LatentSDS, latents: torch.Tensor, cameras: Cameras, step: int = 5) -> torch.Tensor:
    """g, as the loss gives it to the latents."""
    loss = guidance(seen_as(latents), cameras, step, 10, torch.Generator().manual_seed(11)).loss
    views, height, width, _ = latents.shape
    return torch.autograd.grad(loss, latents)[0] * (views * height * width)


class ByHand:
    """The same draws, and the denoiser asked about one view at a time."""

    def __init__(self, guidance: LatentSDS, latents: torch.Tensor) -> None:
        rng = torch.Generator().manual_seed(11)
        self.model, self.z = guidance.model, latents.detach()
        self.t = ((0.02 + (CEILING - 0.02) * torch.rand(len(latents), generator=rng)) * 1000).long()
        self.eps = torch.randn(latents.shape, generator=rng)
        self.rng = rng

    def noisy(self, i: int, t: torch.Tensor | None = None) -> torch.Tensor:
        t = self.t[i] if t is None else t
        return self.model.alpha[t] * self.z[i] + self.model.sigma[t] * self.eps[i]

    def ask(self, i: int, text: str, noisy: torch.Tensor | None = None, t: torch.Tensor | None = None) -> torch.Tensor:
        noisy, t = self.noisy(i) if noisy is None else noisy, self.t[i] if t is None else t
        return self.model.predict(noisy[None], t[None], self.model.embed_text([text]))[0]

    def weight(self, i: int) -> torch.Tensor:
        return self.model.sigma[self.t[i]] ** 2


TEXTS = ["red, back view", "red, overhead view"]


def two_views() -> tuple[torch.Tensor, Cameras]:
    return noisy_latents(2), cameras_at([0, 80], [180, 0])


def test_classifier_score(tiny_model: Callable[..., Path]):
    """CSD: g = w s (eps_text - eps_uncond); the drawn noise has no share in it."""
    latents, cameras = two_views()
    guidance = make(tiny_model(), score="csd")
    hand, seen = ByHand(guidance, latents), gradient_of(guidance, latents, cameras)
    for i, text in enumerate(TEXTS):
        expected = hand.weight(i) * SCALE * (hand.ask(i, text) - hand.ask(i, ""))
        torch.testing.assert_close(seen[i], expected, rtol=1e-3, atol=1e-5)


def test_classifier_score_with_a_negative_that_comes_down(tiny_model: Callable[..., Path]):
    """CSD: g = w [s eps_text + (s_neg - s) eps_uncond - s_neg eps_neg], s_neg halfway down a ramp."""
    latents, cameras = two_views()
    scale = Schedule.ramp(4.0, 0.0, until=1.0)
    guidance = make(tiny_model(), score="csd", negative_prompt="blue", negative_scale=scale)
    hand, seen = ByHand(guidance, latents), gradient_of(guidance, latents, cameras)
    for i, text in enumerate(TEXTS):
        eps = SCALE * hand.ask(i, text) + (2 - SCALE) * hand.ask(i, "") - 2 * hand.ask(i, "blue")
        torch.testing.assert_close(seen[i], hand.weight(i) * eps, rtol=1e-3, atol=1e-4)


def test_noise_free_score(tiny_model: Callable[..., Path]):
    """NFSD: g = w (domain + s (eps_text - eps_uncond)), domain = eps_uncond below 0.2 T, else eps_uncond - eps_neg."""
    latents, cameras = two_views()
    for ceiling in (0.15, CEILING):
        bounds: dict[str, Any] = {"min_noise": Schedule.constant(ceiling), "max_noise": Schedule.constant(ceiling)}
        guidance = make(tiny_model(), score="nfsd", negative_prompt="blue", **bounds)
        hand, seen = ByHand(guidance, latents), gradient_of(guidance, latents, cameras)
        hand.t = torch.full((2,), int(ceiling * 1000))
        for i, text in enumerate(TEXTS):
            domain = hand.ask(i, "") - (hand.ask(i, "blue") if ceiling > 0.2 else 0.0)
            expected = hand.weight(i) * (domain + SCALE * (hand.ask(i, text) - hand.ask(i, "")))
            torch.testing.assert_close(seen[i], expected, rtol=1e-3, atol=1e-4)


def test_asynchronous_score(tiny_model: Callable[..., Path]):
    """ASD: eps_hat against eps_text of the same z and eps at t + d, d up to a tenth of t."""
    latents, cameras = two_views()
    guidance = make(tiny_model(), score="asd", asynchrony=0.1)
    hand, seen = ByHand(guidance, latents), gradient_of(guidance, latents, cameras)
    share = torch.rand(2, generator=hand.rng)
    for i, text in enumerate(TEXTS):
        later = (hand.t[i] * (1 + 0.1 * share[i])).long().clamp(max=999)
        guided = hand.ask(i, "") + SCALE * (hand.ask(i, text) - hand.ask(i, ""))
        reference = hand.ask(i, text, hand.noisy(i, later), later)
        torch.testing.assert_close(seen[i], hand.weight(i) * (guided - reference), rtol=1e-3, atol=1e-4)


def test_variational_score_learns_what_it_is_compared_with(tiny_model: Callable[..., Path]):
    """VSD: at first the LoRA is the denoiser itself; its loss |eps_lora - eps|^2 falls, and moves nothing else."""
    latents, cameras = two_views()
    guidance = make(tiny_model(), score="vsd")
    hand, seen = ByHand(guidance, latents), gradient_of(guidance, latents, cameras)
    for i, text in enumerate(TEXTS):  # (s - 1) (eps_text - eps_uncond) is left of eps_hat - eps_text
        expected = hand.weight(i) * (SCALE - 1) * (hand.ask(i, text) - hand.ask(i, ""))
        torch.testing.assert_close(seen[i], expected, rtol=1e-3, atol=1e-4)
    (group,) = guidance.parameter_groups()
    assert group["lr"] == guidance.config.variation.learning_rate
    optimizer, losses = torch.optim.Adam(group["params"], 1e-2), []
    for _ in range(12):
        output = guidance(seen_as(latents), cameras, 5, 10, torch.Generator().manual_seed(11))
        (of_latents,) = torch.autograd.grad(output.terms["variation"], latents, retain_graph=True, allow_unused=True)
        assert of_latents is None
        optimizer.zero_grad()
        output.terms["variation"].backward()
        optimizer.step()
        losses.append(output.terms["variation"].item())
    assert losses[-1] < 0.98 * losses[0]
    assert not torch.allclose(gradient_of(guidance, latents, cameras), seen)
    torch.testing.assert_close(ByHand(guidance, latents).ask(0, TEXTS[0]), hand.ask(0, TEXTS[0]))


@pytest.mark.parametrize(
    ("family", "layout"),
    [("epsilon", "sd"), ("epsilon", "xl"), ("flow", "sd3"), ("flow", "flux"), ("epsilon", "pixart")],
)
def test_variational_score_reads_the_denoiser_with_the_others(
    family: Family, layout: Layout, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    """After the texts, in the recipe's precision; until then its shapes are known from its config."""
    read: list[tuple[str, torch.dtype]] = []
    network = ModelSource.network

    def watched(source: ModelSource, part: str, dtype: torch.dtype = torch.float32) -> Any:
        read.append((part, dtype))
        return network(source, part, dtype)

    monkeypatch.setattr(ModelSource, "network", watched)
    guidance = LatentSDS(LatentSDS.Config(str(tiny_model(family, layout)), score="vsd", precision="bfloat16"))
    assert not read
    guidance.prepare(f"a prompt that is in no cache: {layout} of {family}")
    assert read[-1] == (guidance.model.adapter.denoiser, torch.bfloat16)
    assert len(read) == len(guidance.model.adapter.text_encoders) + 1
    assert guidance.variation is not None
    corrected = [layer for name, layer in guidance.model.denoiser.named_modules() if name.endswith(CORRECTED)]
    shapes = [(each.in_features, each.out_features) for each in corrected if isinstance(each, torch.nn.Linear)]
    both = zip(guidance.variation.down, guidance.variation.up, strict=True)
    assert shapes == [(down.shape[1], up.shape[0]) for down, up in both]


def test_inverted_noise_is_that_of_ddim_written_out(tiny_model: Callable[..., Path]):
    """SDI: two of DDIM's steps from z to x_t; g = w (eps_hat(x_t) - eps) with the eps that is left in x_t."""
    latents, cameras = two_views()
    guidance = make(tiny_model("v_prediction"), noise="inverted", inversion_steps=2)
    hand, seen = ByHand(guidance, latents), gradient_of(guidance, latents, cameras)
    alpha, sigma = hand.model.alpha, hand.model.sigma
    for i, text in enumerate(TEXTS):
        x, path = hand.z[i], [torch.tensor(0), hand.t[i] // 2, hand.t[i]]
        for here, there in itertools.pairwise(path):
            eps = hand.ask(i, text, x, here)
            x = alpha[there] * (x - sigma[here] * eps) / alpha[here] + sigma[there] * eps
        eps = (x - alpha[hand.t[i]] * hand.z[i]) / sigma[hand.t[i]]
        guided = hand.ask(i, "", x) + SCALE * (hand.ask(i, text, x) - hand.ask(i, "", x))
        torch.testing.assert_close(seen[i], hand.weight(i) * (guided - eps), rtol=1e-2, atol=1e-3)


def test_inversion_of_the_exact_denoiser_ends_in_its_one_noise():
    """If all pictures are z* + noise of one eps*, DDIM's way from z* to x_t holds exactly eps*."""
    generator = torch.Generator().manual_seed(0)
    picture, noise = (torch.randn(1, 4, 4, 4, generator=generator) for _ in range(2))
    angle = torch.linspace(0.01, 1.5, 100)
    start = NoisyLatents(picture, torch.zeros_like(noise), torch.tensor([90]), angle.cos()[[90]], angle.sin()[[90]])
    z = picture  # at t = 0 a little noise is there already, which the denoiser sees as eps*
    found = inverted(start, z, angle.cos(), angle.sin(), lambda _: noise, 5)
    expected = angle[90].cos() / angle[0].cos() * (z - angle[0].sin() * noise) + angle[90].sin() * noise
    torch.testing.assert_close(found.latents, expected, rtol=1e-4, atol=1e-4)


def _sphere(azimuth_deg: list[float], size: int) -> tuple[RenderOutput, Cameras]:
    """A ball of radius 0.5, as depth."""
    from core.cameras import camera_rays

    cameras = cameras_at([10.0] * len(azimuth_deg), azimuth_deg).resized(size, size)
    rays = camera_rays(cameras)
    along = -(rays.origins * rays.directions).sum(dim=-1)
    squared = 0.25 - (rays.origins.square().sum(dim=-1) - along**2)
    depth = along - squared.clamp_min(0).sqrt()
    latents = torch.zeros(*depth.shape, 4)
    return RenderOutput(latents, (squared > 0).float(), depth * (squared > 0), None, latents, None), cameras


def test_noise_of_the_surface_is_white():
    render, cameras = _sphere([float(a) for a in range(0, 360, 15)], 32)
    noise = surface_noise(render, cameras, 1.4 / 32, torch.Generator().manual_seed(0))
    n = noise.numel()
    assert abs(noise.mean()) < 4 / n**0.5
    assert abs(noise.var() - 1) < 6 / n**0.5
    for axis in (1, 2):
        before, after = noise.narrow(axis, 0, 31), noise.narrow(axis, 1, 31)
        assert abs((before * after).mean()) < 4 / before.numel() ** 0.5
    channels = noise.flatten(0, 2)
    assert (channels.T.cov() - torch.eye(4)).abs().max() < 6 / len(channels) ** 0.5
    kurtosis = noise.pow(4).mean()
    assert abs(kurtosis - 3) < 10 * (96 / n) ** 0.5


def test_a_point_of_the_surface_keeps_its_noise():
    """From step to step and, on most pixels, from a slightly other camera; elsewhere noise is fresh."""
    render, cameras = _sphere([0.0], 32)
    first, second = (surface_noise(render, cameras, 1.4 / 32, torch.Generator().manual_seed(i)) for i in range(2))
    solid = render.opacity > OPAQUE
    same = (first == second).all(dim=-1)
    assert same[solid].float().mean() > 0.6
    assert not same[~solid].any()
    turned, from_beside = _sphere([0.2], 32)
    third = surface_noise(turned, from_beside, 1.4 / 32, torch.Generator().manual_seed(5))
    shared = (first[:, :, :, 0].reshape(-1, 1) == third[:, :, :, 0].reshape(1, -1)).any(dim=1)
    assert shared.float().mean() > 0.2


def test_annealed_timesteps_are_the_upper_bound(tiny_model: Callable[..., Path]):
    guidance = make(tiny_model(), timesteps="annealed", max_noise=Schedule.ramp(0.8, 0.2, until=1.0))
    for step, share in ((0, 0.8), (5, 0.5)):
        noisy = guidance.draw_noise(noisy_latents(3), step, 10, torch.Generator().manual_seed(0))
        assert noisy.timestep.tolist() == [int(share * 1000)] * 3


def test_gradients_are_normalised_by_object_and_shortened_by_pixel(tiny_model: Callable[..., Path]):
    gradient = (
        torch.randn(4, 5, 6, 3, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1.0, 1, 9, 9])[:, None, None, None]
    )
    whole = normalized(gradient, 2)
    for views in (slice(0, 2), slice(2, 4)):
        torch.testing.assert_close(whole[views], gradient[views] / gradient[views].square().mean().sqrt())
    short = shortened_gradient(gradient, 2.0)
    for had, has in zip(gradient.reshape(-1, 3), short.reshape(-1, 3), strict=True):
        torch.testing.assert_close(has, had * min(1.0, 2.0 / float(had.norm())))
    latents, cameras = two_views()
    plain = gradient_of(make(tiny_model()), latents, cameras)
    seen = gradient_of(make(tiny_model(), normalize=True, gradient_limit=Schedule.constant(1.5)), latents, cameras)
    torch.testing.assert_close(seen, shortened_gradient(normalized(plain, 1), 1.5), rtol=1e-3, atol=1e-4)


def test_perp_neg_leaves_the_prompt_s_own_direction_alone(tiny_model: Callable[..., Path]):
    """Perp-Neg written out for each view; a negative equal to the prompt then takes nothing away."""
    latents, cameras = two_views()
    push: dict[str, Any] = {"negative_scale": Schedule.constant(3.0), "perpendicular": True}
    guidance = make(tiny_model(), negative_prompt="blue", negative_views={"back": "red, front view"}, **push)
    hand, seen = ByHand(guidance, latents), gradient_of(guidance, latents, cameras)
    for i, (text, negative) in enumerate(zip(TEXTS, ["red, front view", "blue"], strict=True)):
        nothing = hand.ask(i, "")
        d, away = hand.ask(i, text) - nothing, hand.ask(i, negative) - nothing
        away = away - (away.flatten() @ d.flatten()) / (d.flatten() @ d.flatten()) * d
        expected = hand.weight(i) * (nothing + SCALE * d - 3 * away - hand.eps[i])
        torch.testing.assert_close(seen[i], expected, rtol=1e-3, atol=1e-4)
    same = make(tiny_model(), negative_prompt="red", view_dependent=False, **push)
    plain = make(tiny_model(), view_dependent=False)
    torch.testing.assert_close(
        gradient_of(same, latents, cameras), gradient_of(plain, latents, cameras), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inversion_steps": 0}, "inversion_steps: from 1 to 1000, got 0"),
        ({"asynchrony": 0.0}, "asynchrony: above 0 and at most 1, got 0.0"),
        ({"negative_scale": Schedule.constant(-1.0)}, "negative_scale: at least 0, got -1"),
        ({"views": {"bakc": "a"}}, "views.bakc: no view's word. Did you mean 'back'?"),
        ({"negative_views": {"back": "a"}}, "negative_views: needs negative_scale, which is null"),
        ({"perpendicular": True}, "perpendicular: needs negative_scale, which is null"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str):
    with pytest.raises(UserError) as caught:
        LatentSDS.Config(model="toybox", **settings)
    assert str(caught.value) == message

"""`loud-view-sds`: what the view word adds has a scale of its own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.schedule import Schedule
from guidance.latent_sds import LatentSDS
from guidance.loud_view_sds import LoudViewSDS, view_guided_noise
from guidance.sds import guided_noise
from tests.guidance.seen import cameras_at, noisy_latents, seen_as


def _guidance(part: type[LatentSDS], folder: Path, prompt: str = "red", **settings: Any) -> LatentSDS:
    guidance = part(part.Config(model=str(folder), **settings))
    guidance.prepare(prompt)
    return guidance


def test_formula_by_hand():
    unconditional, plain, text = (torch.full((1, 1, 1, 1), value) for value in (2.0, 5.0, 6.0))
    assert view_guided_noise(unconditional, plain, text, 7.0, 20.0).item() == 2 + 7 * 3 + 20 * 1
    torch.testing.assert_close(
        view_guided_noise(unconditional, plain, text, 7.0, 7.0), guided_noise(unconditional, text, 7.0)
    )


def test_the_view_word_has_a_scale_of_its_own(tiny_model: Callable[..., Path]):
    """g is linear in s_view, equals the usual one at s_view = s, and forgets the view word at s_view = 0."""
    latents, cameras = noisy_latents(2), cameras_at([0, 80], [180, 0])

    def gradient(part: type[LatentSDS] = LatentSDS, **settings: Any) -> torch.Tensor:
        settings = {"guidance_scale": Schedule.constant(7.0), "precision": "float32", **settings}
        guidance = _guidance(part, tiny_model(), **settings)
        loss = guidance(seen_as(latents), cameras, 5, 10, torch.Generator().manual_seed(11)).loss
        return torch.autograd.grad(loss, latents)[0]

    usual = gradient()
    same, none, more = (
        gradient(LoudViewSDS, view_guidance_scale=Schedule.constant(scale)) for scale in (7.0001, 0.0, 21.0)
    )
    wordless = gradient(view_dependent=False)
    torch.testing.assert_close(same, usual, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(none, wordless, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(more - none, 3 * (usual - none), rtol=1e-2, atol=1e-5)
    assert (more - usual).norm() > 1e-3 * usual.norm()


def test_rescaling_is_that_of_the_prediction_with_the_view_word(tiny_model: Callable[..., Path]):
    """g of one view, written out: where all three texts have a share in eps_hat, eps_text is the one with the word."""
    scales: dict[str, Any] = {"guidance_scale": Schedule.constant(7.0), "view_guidance_scale": Schedule.constant(20.0)}
    settings = scales | {"guidance_rescale": Schedule.constant(0.7), "precision": "float32"}
    guidance = _guidance(LoudViewSDS, tiny_model(), **settings)
    latents, model = noisy_latents(1), guidance.model
    loss = guidance(seen_as(latents), cameras_at([0], [180]), 0, 10, torch.Generator().manual_seed(11)).loss
    (seen,) = torch.autograd.grad(loss, latents)

    rng = torch.Generator().manual_seed(11)
    t = ((0.02 + 0.96 * torch.rand(1, generator=rng)) * 1000).long()
    noise = torch.randn(1, 8, 8, 4, generator=rng)
    alpha, sigma = model.alpha[t], model.sigma[t]
    noisy = (alpha * latents + sigma * noise).detach()
    without, plain, text = (
        model.predict_noise(noisy, t, model.embed_text([t_])) for t_ in ("", "red", "red, back view")
    )
    guided = without + 7 * (plain - without) + 20 * (text - plain)
    z, z_text = ((noisy - sigma * eps) / alpha for eps in (guided, text))
    z = z * (0.7 * z_text.std() / z.std() + 0.3)
    expected = sigma**2 * ((noisy - alpha * z) / sigma - noise) / (8 * 8)
    torch.testing.assert_close(seen, expected, rtol=1e-3, atol=1e-5)


def test_a_view_scale_that_has_come_down_to_the_other_costs_nothing(
    tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    guidance = _guidance(
        LoudViewSDS,
        tiny_model(),
        guidance_scale=Schedule.constant(7.0),
        view_guidance_scale=Schedule.ramp(20.0, 7.0, until=0.5),
    )
    asked: list[int] = []
    predict = guidance.model.predict_noise
    monkeypatch.setattr(guidance.model, "predict_noise", lambda *a: (asked.append(len(a[0])), predict(*a))[1])
    for step in (0, 4, 6):
        guidance(seen_as(noisy_latents(2)), cameras_at([0, 0], [0, 90]), step, 10, torch.Generator().manual_seed(0))
    assert asked == [6, 6, 4]


def test_the_prompt_without_a_view_word_is_embedded_too(tiny_model: Callable[..., Path]):
    texts = _guidance(LoudViewSDS, tiny_model()).texts("red")
    assert texts[-2:] == ["", "red"]
    assert texts[:-1] == _guidance(LatentSDS, tiny_model()).texts("red")


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="view_guidance_scale: at least 0, got -1"):
        LoudViewSDS.Config(model="toybox", view_guidance_scale=Schedule.constant(-1.0))
    with pytest.raises(UserError, match="view_guidance_scale: needs view_dependent, which is off"):
        LoudViewSDS.Config(model="toybox", view_guidance_scale=Schedule.constant(5.0), view_dependent=False)
    with pytest.raises(UserError, match="guidance_scale: at least 0, got -1"):
        LoudViewSDS.Config(model="toybox", guidance_scale=Schedule.constant(-1.0))

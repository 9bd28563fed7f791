"""`latent-sds` as a whole: each of its steps against the formula, nothing computed twice."""

import json
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.cameras import orbit_cameras
from core.errors import UserError
from core.schedule import Schedule
from core.types import Cameras
from guidance.latent_sds import LatentSDS
from guidance.prompts import VIEW_WORDS
from tests.guidance.test_world import WORLD
from tests.tiny_pipelines import make_tiny_model


def _cameras(elevation_deg: list[float], azimuth_deg: list[float]) -> Cameras:
    n_views = len(elevation_deg)
    distance, fovy = torch.full((n_views,), 1.5), torch.full((n_views,), 50.0)
    elevation, azimuth = (torch.tensor(angles, dtype=torch.float32) for angles in (elevation_deg, azimuth_deg))
    return orbit_cameras(elevation, azimuth, distance, fovy, 8, 8)


def _latents(n_views: int) -> torch.Tensor:
    return torch.randn(n_views, 8, 8, 4, generator=torch.Generator().manual_seed(3)).requires_grad_()


def _guidance(folder: Path, prompt: str = "a red mushroom", **settings: object) -> LatentSDS:
    guidance = LatentSDS(LatentSDS.Config(model=str(folder), **settings))  # pyright: ignore[reportArgumentType]
    guidance.prepare(prompt)
    return guidance


@pytest.mark.parametrize("family", ["epsilon", "v_prediction", "flow"])
def test_gradient_is_the_formula_written_out(family: str, tiny_model: Callable[..., Path]):
    ceiling = Schedule.constant(0.9)
    guidance = _guidance(
        tiny_model(family), "red", guidance_scale=Schedule.constant(7.0), max_noise=ceiling, weights="float32"
    )
    latents, cameras = _latents(2), _cameras([0, 80], [180, 0])
    output = guidance(latents, cameras, 5, 10, torch.Generator().manual_seed(11))
    (seen,) = torch.autograd.grad(output.loss, latents)

    rng = torch.Generator().manual_seed(11)
    t = ((0.02 + 0.88 * torch.rand(2, generator=rng)) * 1000).long()
    noise = torch.randn(2, 8, 8, 4, generator=rng)
    model = guidance.model
    for i, text in enumerate(["red, back view", "red, overhead view"]):
        alpha, sigma = model.alpha[t[i]], model.sigma[t[i]]
        noisy = (alpha * latents[i] + sigma * noise[i]).detach()[None]
        conditional = model.predict_noise(noisy, t[i : i + 1], model.embed_text([text]))[0]
        unconditional = model.predict_noise(noisy, t[i : i + 1], model.embed_text([""]))[0]
        predicted = unconditional + 7 * (conditional - unconditional)
        expected = sigma**2 * (predicted - noise[i]) / (2 * 8 * 8)
        torch.testing.assert_close(seen[i], expected, rtol=1e-3, atol=1e-5)


def test_the_view_word_has_a_scale_of_its_own(tiny_model: Callable[..., Path]):
    """g is linear in s_view, equals the usual one at s_view = s, and forgets the view word at s_view = 0."""
    latents, cameras = _latents(2), _cameras([0, 80], [180, 0])

    def gradient(**settings: object) -> torch.Tensor:
        guidance = _guidance(tiny_model(), "red", guidance_scale=Schedule.constant(7.0), weights="float32", **settings)
        loss = guidance(latents, cameras, 5, 10, torch.Generator().manual_seed(11)).loss
        return torch.autograd.grad(loss, latents)[0]

    usual = gradient()
    same, none, more = (gradient(view_guidance_scale=Schedule.constant(scale)) for scale in (7.0001, 0.0, 21.0))
    wordless = gradient(view_dependent=False)
    torch.testing.assert_close(same, usual, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(none, wordless, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(more - none, 3 * (usual - none), rtol=1e-2, atol=1e-5)
    assert (more - usual).norm() > 1e-3 * usual.norm()


def test_guidance_comes_down_by_its_schedule(tiny_model: Callable[..., Path]):
    latents, cameras = _latents(2), _cameras([0, 0], [0, 90])

    def gradient(scale: Schedule, step: int) -> torch.Tensor:
        guidance = _guidance(tiny_model(), guidance_scale=scale, weights="float32", max_noise=Schedule.constant(0.9))
        loss = guidance(latents, cameras, step, 10, torch.Generator().manual_seed(3)).loss
        return torch.autograd.grad(loss, latents)[0]

    ramp = Schedule.ramp(9.0, 3.0, until=0.5)
    torch.testing.assert_close(gradient(ramp, 0), gradient(Schedule.constant(9.0), 0))
    torch.testing.assert_close(gradient(ramp, 5), gradient(Schedule.constant(3.0), 5))


def test_rescaling_is_that_of_the_prediction_with_the_view_word(tiny_model: Callable[..., Path]):
    """g of one view, written out: where all three texts have a share in eps_hat, eps_text is the one with the word."""
    scales = {"guidance_scale": Schedule.constant(7.0), "view_guidance_scale": Schedule.constant(20.0)}
    settings = scales | {"guidance_rescale": Schedule.constant(0.7), "weights": "float32"}
    guidance = _guidance(tiny_model(), "red", **settings)
    latents, model = _latents(1), guidance.model
    loss = guidance(latents, _cameras([0], [180]), 0, 10, torch.Generator().manual_seed(11)).loss
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
        tiny_model(), guidance_scale=Schedule.constant(7.0), view_guidance_scale=Schedule.ramp(20.0, 7.0, until=0.5)
    )
    asked: list[int] = []
    predict = guidance.model.predict_noise
    monkeypatch.setattr(guidance.model, "predict_noise", lambda *a: (asked.append(len(a[0])), predict(*a))[1])
    for step in (0, 4, 6):
        guidance(_latents(2), _cameras([0, 0], [0, 90]), step, 10, torch.Generator().manual_seed(0))
    assert asked == [6, 6, 4]


def test_noise_ceiling_follows_its_schedule(tiny_model: Callable[..., Path]):
    schedule = Schedule.ramp(0.9, 0.1, until=0.5)
    guidance = _guidance(tiny_model(), min_noise=Schedule.constant(0.1), max_noise=schedule)
    latents, cameras = _latents(2), _cameras([0, 0], [0, 90])
    lowest = float(guidance.model.sigma[100])
    late = guidance(latents, cameras, 6, 10, torch.Generator().manual_seed(0)).metrics["sigma"]
    assert float(late) == pytest.approx(lowest)
    early = guidance(latents, cameras, 0, 10, torch.Generator().manual_seed(0)).metrics["sigma"]
    assert float(early) > lowest


def test_texts_are_embedded_once(tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    guidance = LatentSDS(LatentSDS.Config(model=str(tiny_model())))
    seen: list[list[str]] = []
    embed = guidance.model.embed_text
    monkeypatch.setattr(guidance.model, "embed_text", lambda texts: (seen.append(texts), embed(texts))[1])
    guidance.prepare("red")
    for step in range(3):
        guidance(_latents(1), _cameras([0], [0]), step, 3, torch.Generator())
    assert seen == [[*(f"red, {word} view" for word in VIEW_WORDS), ""]]


def test_without_view_words_all_views_share_the_text(tiny_model: Callable[..., Path]):
    guidance = _guidance(tiny_model(), view_dependent=False)
    latents = _latents(1)
    front, back = (
        guidance(latents, _cameras([0], [azimuth]), 0, 1, torch.Generator().manual_seed(0)).loss.item()
        for azimuth in (0.0, 180.0)
    )
    assert front == back


def test_view_words_survive_a_prompt_beyond_the_token_limit(tiny_model: Callable[..., Path]):
    guidance = _guidance(tiny_model(), "a mushroom " * 50)
    latents = _latents(1)
    losses = [
        guidance(latents, _cameras([e], [a]), 0, 1, torch.Generator().manual_seed(0)).loss.item()
        for e, a in ((0.0, 0.0), (0.0, 90.0), (0.0, 180.0), (80.0, 0.0), (-80.0, 0.0))
    ]
    assert len(set(losses)) == 5


def test_no_picture_is_encoded_or_decoded(tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    guidance = _guidance(tiny_model())

    def forbidden(*_: object) -> None:
        raise AssertionError("the autoencoder was called")

    for name in ("encode", "decode"):
        monkeypatch.setattr(guidance.model.autoencoder, name, forbidden)
    guidance(_latents(1), _cameras([0], [0]), 0, 1, torch.Generator()).loss.backward()


def test_a_model_with_a_world_brings_its_bins_and_warns_of_unknown_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    folder = make_tiny_model(tmp_path)
    (folder / "world.json").write_text(json.dumps(WORLD))
    guidance = LatentSDS(LatentSDS.Config(model=str(folder)))
    assert guidance.view_bins.bottom_deg == -30
    with caplog.at_level(logging.WARNING):
        guidance.prepare("a red dragon")
    assert "does not know 'dragon'" in caplog.text
    caplog.clear()
    guidance.prepare("a red mushroom")
    assert not caplog.records


def test_forward_before_prepare_is_a_clear_fault(tiny_model: Callable[..., Path]):
    guidance = LatentSDS(LatentSDS.Config(model=str(tiny_model())))
    with pytest.raises(RuntimeError, match="prepare"):
        guidance(_latents(1), _cameras([0], [0]), 0, 1, torch.Generator())


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="guidance_scale: at least 0, got -1"):
        LatentSDS.Config(model="toybox", guidance_scale=Schedule.constant(-1.0))
    with pytest.raises(UserError, match="view_guidance_scale: at least 0, got -1"):
        LatentSDS.Config(model="toybox", view_guidance_scale=Schedule.constant(-1.0))
    with pytest.raises(UserError, match=r"guidance_rescale: a share from 0 to 1, got \[2.0\]"):
        LatentSDS.Config(model="toybox", guidance_rescale=Schedule.constant(2.0))
    with pytest.raises(UserError, match="view_guidance_scale: needs view_dependent, which is off"):
        LatentSDS.Config(model="toybox", view_guidance_scale=Schedule.constant(5.0), view_dependent=False)
    with pytest.raises(UserError, match="max_noise: a share from 0 to 1"):
        LatentSDS.Config(model="toybox", max_noise=Schedule.constant(980.0))


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ({"avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_weights_on_a_cpu_are_bfloat16_where_it_computes_that(
    known: dict[str, bool], expected: torch.dtype, tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known)
    guidance = _guidance(tiny_model())
    assert next(guidance.model._networks[0].parameters()).dtype == expected
    assert next(guidance.model.autoencoder._networks[0].parameters()).dtype == torch.float32, "pictures keep shades"


def test_a_torch_that_cannot_tell_computes_in_float32(tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert next(_guidance(tiny_model()).model._networks[0].parameters()).dtype == torch.float32

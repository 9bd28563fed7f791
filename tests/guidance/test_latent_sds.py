"""`latent-sds` as a whole: each of its steps against the formula, nothing computed twice."""

import gc
import json
import logging
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import UserError
from core.schedule import Schedule
from core.settings import read_settings
from guidance.latent_sds import LatentSDS
from guidance.model_source import ModelSource
from guidance.prompts import VIEW_WORDS
from tests.guidance.seen import cameras_at, noisy_latents, seen_as
from tests.guidance.test_training_distribution import WORLD
from tests.tiny_pipelines import make_tiny_model


def _guidance(folder: Path, prompt: str = "a red mushroom", **settings: object) -> LatentSDS:
    guidance = LatentSDS(LatentSDS.Config(model=str(folder), **settings))  # pyright: ignore[reportArgumentType]
    guidance.prepare(prompt)
    return guidance


@pytest.mark.parametrize("family", ["epsilon", "v_prediction", "flow"])
def test_gradient_is_the_formula_written_out(family: str, tiny_model: Callable[..., Path]):
    ceiling = Schedule.constant(0.9)
    guidance = _guidance(
        tiny_model(family), "red", guidance_scale=Schedule.constant(7.0), max_noise=ceiling, precision="float32"
    )
    latents, cameras = noisy_latents(2), cameras_at([0, 80], [180, 0])
    output = guidance(seen_as(latents), cameras, 5, 10, torch.Generator().manual_seed(11))
    (seen,) = torch.autograd.grad(output.loss, latents)

    rng = torch.Generator().manual_seed(11)
    t = ((0.02 + 0.88 * torch.rand(2, generator=rng)) * 1000).long()
    noise = torch.randn(2, 8, 8, 4, generator=rng)
    model = guidance.model
    for i, text in enumerate(["red, back view", "red, overhead view"]):
        alpha, sigma = model.alpha[t[i]], model.sigma[t[i]]
        noisy = (alpha * latents[i] + sigma * noise[i]).detach()[None]
        conditional = model.predict(noisy, t[i : i + 1], model.embed_text([text]))[0]
        unconditional = model.predict(noisy, t[i : i + 1], model.embed_text([""]))[0]
        predicted = unconditional + 7 * (conditional - unconditional)
        expected = sigma**2 * (predicted - noise[i]) / (2 * 8 * 8)
        torch.testing.assert_close(seen[i], expected, rtol=1e-3, atol=1e-5)


def test_guidance_comes_down_by_its_schedule(tiny_model: Callable[..., Path]):
    latents, cameras = noisy_latents(2), cameras_at([0, 0], [0, 90])

    def gradient(scale: Schedule, step: int) -> torch.Tensor:
        guidance = _guidance(tiny_model(), guidance_scale=scale, precision="float32", max_noise=Schedule.constant(0.9))
        loss = guidance(seen_as(latents), cameras, step, 10, torch.Generator().manual_seed(3)).loss
        return torch.autograd.grad(loss, latents)[0]

    ramp = Schedule.ramp(9.0, 3.0, until=0.5)
    torch.testing.assert_close(gradient(ramp, 0), gradient(Schedule.constant(9.0), 0))
    torch.testing.assert_close(gradient(ramp, 5), gradient(Schedule.constant(3.0), 5))


def test_noise_ceiling_follows_its_schedule(tiny_model: Callable[..., Path]):
    schedule = Schedule.ramp(0.9, 0.1, until=0.5)
    guidance = _guidance(tiny_model(), min_noise=Schedule.constant(0.1), max_noise=schedule)
    latents, cameras = noisy_latents(2), cameras_at([0, 0], [0, 90])
    lowest = float(guidance.model.sigma[100])
    late = guidance(seen_as(latents), cameras, 6, 10, torch.Generator().manual_seed(0)).metrics["sigma"]
    assert float(late) == pytest.approx(lowest)
    early = guidance(seen_as(latents), cameras, 0, 10, torch.Generator().manual_seed(0)).metrics["sigma"]
    assert float(early) > lowest


def test_texts_are_embedded_once(tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    guidance = LatentSDS(LatentSDS.Config(model=str(tiny_model())))
    seen: list[list[str]] = []
    embed = guidance.model.embed_text
    monkeypatch.setattr(guidance.model, "embed_text", lambda texts: (seen.append(texts), embed(texts))[1])
    guidance.prepare("red")
    for step in range(3):
        guidance(seen_as(noisy_latents(1)), cameras_at([0], [0]), step, 3, torch.Generator())
    assert seen == [[*(f"red, {word} view" for word in VIEW_WORDS), ""]]


def test_without_view_words_all_views_share_the_text(tiny_model: Callable[..., Path]):
    guidance = _guidance(tiny_model(), view_dependent=False)
    latents = noisy_latents(1)
    front, back = (
        guidance(seen_as(latents), cameras_at([0], [azimuth]), 0, 1, torch.Generator().manual_seed(0)).loss.item()
        for azimuth in (0.0, 180.0)
    )
    assert front == back


def test_view_words_survive_a_prompt_beyond_the_token_limit(tiny_model: Callable[..., Path]):
    guidance = _guidance(tiny_model(), "a mushroom " * 50)
    latents = noisy_latents(1)
    losses = [
        guidance(seen_as(latents), cameras_at([e], [a]), 0, 1, torch.Generator().manual_seed(0)).loss.item()
        for e, a in ((0.0, 0.0), (0.0, 90.0), (0.0, 180.0), (80.0, 0.0), (-80.0, 0.0))
    ]
    assert len(set(losses)) == 5


def test_no_picture_is_encoded_or_decoded(tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    guidance = _guidance(tiny_model())

    def forbidden(*_: object) -> None:
        raise AssertionError("the autoencoder was called")

    for name in ("encode", "decode"):
        monkeypatch.setattr(guidance.model.autoencoder, name, forbidden)
    guidance(seen_as(noisy_latents(1)), cameras_at([0], [0]), 0, 1, torch.Generator()).loss.backward()


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
    assert "does not know" not in caplog.text


def test_forward_before_prepare_is_a_clear_fault(tiny_model: Callable[..., Path]):
    guidance = LatentSDS(LatentSDS.Config(model=str(tiny_model())))
    with pytest.raises(RuntimeError, match="prepare"):
        guidance(seen_as(noisy_latents(1)), cameras_at([0], [0]), 0, 1, torch.Generator())


def test_settings_out_of_range_are_refused():
    with pytest.raises(UserError, match="guidance_scale: at least 0, got -1"):
        LatentSDS.Config(model="toybox", guidance_scale=Schedule.constant(-1.0))
    with pytest.raises(UserError, match=r"guidance_rescale: a share from 0 to 1, got \[2.0\]"):
        LatentSDS.Config(model="toybox", guidance_rescale=Schedule.constant(2.0))
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
    assert guidance.model.denoiser.dtype == expected
    assert guidance.model.autoencoder.network.dtype == torch.float32, "pictures keep shades"


def test_a_torch_that_cannot_tell_computes_in_float32(tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert next(_guidance(tiny_model()).model.denoiser.parameters()).dtype == torch.float32


@pytest.mark.parametrize(
    ("setting", "advice"),
    [("weights", "Say precision instead."), ("view_guidance_scale", "Say type: multi-view-sds instead.")],
)
def test_settings_of_old_recipes_are_told_their_new_names(setting: str, advice: str):
    with pytest.raises(UserError) as caught:
        read_settings(LatentSDS.Config, {"model": "toybox", setting: "float16"}, owner="latent-sds")
    assert f"{setting}: no such setting of latent-sds" in str(caught.value)
    assert advice in str(caught.value)


def test_a_distilled_model_says_which_scale_it_works_with(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = make_tiny_model(tmp_path / "sdxl-turbo")
    for scale, told in ((100.0, True), (1.5, False)):
        caplog.clear()
        LatentSDS(LatentSDS.Config(model=str(folder), guidance_scale=Schedule.constant(scale)))
        assert ("distilled to do without guidance" in caplog.text) is told
        assert ("guidance_scale=1), the recipe says 100" in caplog.text) is told


def test_t5_is_left_out_with_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = make_tiny_model(tmp_path, "flow", "sd3", t5=True)
    with caplog.at_level(logging.INFO):
        LatentSDS(LatentSDS.Config(model=str(folder)))
    assert "its T5 text encoder is left out; t5: true reads it" in caplog.text
    with pytest.raises(UserError, match="has no T5 text encoder"):
        LatentSDS(LatentSDS.Config(model="toybox", t5=True))


def test_a_word_in_angle_brackets_needs_a_meaning(tiny_model: Callable[..., Path]):
    guidance = LatentSDS(LatentSDS.Config(model=str(tiny_model())))
    with pytest.raises(UserError, match="prompt: nothing says what '<cat>' means"):
        guidance.prepare("a red <cat>")


def test_text_encoders_leave_memory(tiny_model: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # nothing is kept from before, so that one is read
    read: list[weakref.ref[Any]] = []
    original = ModelSource.network

    def noted(self: ModelSource, part: str, dtype: torch.dtype = torch.float32) -> Any:
        network = original(self, part, dtype)
        if part == "text_encoder":
            read.append(weakref.ref(network))
        return network

    monkeypatch.setattr(ModelSource, "network", noted)
    guidance = LatentSDS(LatentSDS.Config(model=str(tiny_model())))
    guidance.prepare("a red mushroom")
    gc.collect()
    assert [each() for each in read] == [None]

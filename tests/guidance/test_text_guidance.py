"""What each view is told: prompts of its own, bins that a recipe sets, texts that blend by azimuth."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from core.cameras import ViewBins
from core.schedule import Schedule
from guidance.prompts import VIEW_WORDS, view_shares
from tests.guidance.seen import cameras_at, noisy_latents
from tests.guidance.test_scores import make


def test_a_view_s_own_prompt_takes_the_place_of_the_shared_one(tiny_model: Callable[..., Path]):
    guidance = make(tiny_model(), views={"back": "a plain wall"}, negative_prompt="blue")
    assert guidance.texts("red") == [
        *("red, front view", "red, side view", "a plain wall", "red, overhead view", "red, bottom view"),
        "blue",
    ]
    told = make(tiny_model(), negative_prompt="blue", negative_scale=Schedule.constant(1.0))
    assert told.texts("red")[-1] == ""


def test_bins_of_the_recipe_win(tiny_model: Callable[..., Path]):
    cameras = cameras_at([0, 0, 50], [0, 70, 0])
    usual, wide = (
        make(tiny_model()),
        make(tiny_model(), view_bins=ViewBins(front_half_width_deg=80.0, overhead_deg=45.0)),
    )
    assert [VIEW_WORDS[i] for i in usual.view_index(cameras)] == ["front", "side", "front"]
    assert [VIEW_WORDS[i] for i in wide.view_index(cameras)] == ["front", "front", "overhead"]


@pytest.mark.parametrize(
    ("elevation", "azimuth", "shares"),
    [
        (0, 0, [1, 0, 0, 0, 0]),
        (0, 45, [0.5, 0.5, 0, 0, 0]),
        (10, -90, [0, 1, 0, 0, 0]),
        (0, 180, [0, 0, 1, 0, 0]),
        (0, 202.5, [0, 0.25, 0.75, 0, 0]),
        (70, 45, [0, 0, 0, 1, 0]),
        (-60, 45, [0, 0, 0, 0, 1]),
    ],
)
def test_shares_of_the_words_by_azimuth(elevation: float, azimuth: float, shares: list[float]):
    found = view_shares(cameras_at([elevation], [azimuth]), ViewBins())
    torch.testing.assert_close(found, torch.tensor([shares], dtype=torch.float32), atol=1e-5, rtol=0)


def test_blended_views_are_told_the_mean_of_two_embeddings(tiny_model: Callable[..., Path]):
    guidance = make(tiny_model(), blend_views=True)
    cameras, latents = cameras_at([0, 0], [45, 180]), noisy_latents(2)
    noisy = guidance.draw_noise(latents, 0, 10, torch.Generator().manual_seed(0))
    (seen,) = guidance.answers(noisy, cameras, [guidance.told_views(cameras)])
    front, side, back = (guidance.model.embed_text([f"red, {word} view"]) for word in ("front", "side", "back"))
    middle = type(front)((front.tokens + side.tokens) / 2, None)
    for i, text in enumerate((middle, back)):
        one = guidance.model.predict(noisy.latents[i : i + 1], noisy.timestep[i : i + 1], text)[0]
        torch.testing.assert_close(seen[i], one, rtol=1e-3, atol=1e-4)
    predicted = guidance.predict_noise(noisy, cameras, 0, 10)  # with the unconditional text, which is one alone
    torch.testing.assert_close(predicted.conditional, seen, rtol=1e-3, atol=1e-4)

"""The widened denoiser: stock when untold, joint over an object's views, loaded by the stock class."""

import numpy as np
import pytest
import torch

from toybox.buffers import random_view
from toybox.latents import diffusers
from toybox.networks import LATENT_CHANNELS, new_unet
from toybox.pipeline import load_pipeline
from toybox.told_cameras import ToldCameras, tell
from toybox.view_denoiser import ViewDenoiser, told_unet

SIZE = 8
CAPTIONS = ["a red chair", "a red chair", "a blue car", "a blue car"]


@pytest.fixture(scope="module")
def pipeline():
    return load_pipeline()


@pytest.fixture(scope="module")
def denoiser(pipeline):
    torch.manual_seed(3)
    return ViewDenoiser.widened(pipeline).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def noisy():
    return torch.randn(4, LATENT_CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(0))


def _told(seeds=(0, 1, 2, 3)) -> ToldCameras:
    return tell([random_view(np.random.default_rng(seed)) for seed in seeds], SIZE)


TIMES = torch.full((4,), 700)


def test_untold_it_answers_as_the_denoiser_it_came_from(pipeline, denoiser, noisy):
    untold = _told().kept(torch.zeros(4, dtype=torch.bool))
    text = denoiser.embed(CAPTIONS)
    with torch.no_grad():
        stock = pipeline.unet(noisy, TIMES, encoder_hidden_states=text).sample
    torch.testing.assert_close(denoiser(noisy, TIMES, CAPTIONS, untold), stock, atol=2e-5, rtol=1e-4)


def test_one_that_is_told_cameras_stays_as_it_is(denoiser):
    again = told_unet(denoiser.unet)
    assert again is not denoiser.unet
    for name, weight in denoiser.unet.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_every_word_of_a_camera_reaches_the_answer(denoiser, noisy):
    one, other = _told(), _told((4, 5, 6, 7))
    plain = denoiser(noisy, TIMES, CAPTIONS, one)
    for changed in (ToldCameras(other.rays, one.poses), ToldCameras(one.rays, other.poses)):
        assert (denoiser(noisy, TIMES, CAPTIONS, changed) - plain).abs().amax(dim=(1, 2, 3)).min() > 1e-3


def test_views_of_an_object_see_each_other_and_no_other_object(denoiser, noisy):
    told = _told()
    before = denoiser(noisy, TIMES, CAPTIONS, told, views=2)
    moved = noisy.clone()
    moved[0] += 1
    after = denoiser(moved, TIMES, CAPTIONS, told, views=2)
    change = (after - before).abs().amax(dim=(1, 2, 3))
    assert change[1] > 1e-4
    torch.testing.assert_close(after[2:], before[2:], atol=1e-6, rtol=0)


def test_joined_attention_is_attention_over_the_views_tokens_in_one_row(denoiser):
    attention = denoiser.unet.mid_block.attentions[0].transformer_blocks[0].attn1
    tokens = torch.randn(6, 5, attention.to_q.in_features, generator=torch.Generator().manual_seed(1))
    joined = attention(tokens, views=3)
    for first in (0, 3):
        row = torch.cat(list(tokens[first : first + 3]))  # the same, written token by token
        layers = (attention.to_q, attention.to_k, attention.to_v)
        q, k, v = (layer(row).unflatten(1, (attention.heads, -1)) for layer in layers)
        share = (torch.einsum("ihc,jhc->hij", q, k) * q.shape[-1] ** -0.5).softmax(dim=-1)
        truth = attention.to_out[0](torch.einsum("hij,jhc->ihc", share, v).flatten(1))
        torch.testing.assert_close(torch.cat(list(joined[first : first + 3])), truth, atol=1e-5, rtol=1e-4)


def test_order_of_an_objects_views_is_of_no_importance(denoiser, noisy):
    order = torch.tensor([2, 0, 3, 1])
    told = _told()
    same_text = [CAPTIONS[0]] * 4
    straight = denoiser(noisy, TIMES, same_text, told, views=4)
    shuffled = denoiser(noisy[order], TIMES, same_text, ToldCameras(told.rays[order], told.poses[order]), views=4)
    torch.testing.assert_close(shuffled, straight[order], atol=2e-5, rtol=1e-4)


def test_a_saved_folder_loads_by_the_stock_class(tmp_path):
    torch.manual_seed(0)
    wide = told_unet(new_unet())
    wide.save_pretrained(tmp_path)
    loaded = diffusers.UNet2DConditionModel.from_pretrained(tmp_path)
    assert loaded.config.in_channels == LATENT_CHANNELS + 6
    assert loaded.config.class_embed_type == "projection"
    for name, value in wide.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name

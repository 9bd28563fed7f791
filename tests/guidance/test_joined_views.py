"""Self-attention over several views, against a UNet's block written out."""

from typing import Any

import diffusers as untyped_diffusers
import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor, AttnProcessor2_0
from torch import Tensor

from guidance.joined_views import JoinedViews, join_views

diffusers: Any = untyped_diffusers


def _unet() -> Any:
    torch.manual_seed(0)
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(8, 16),
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        layers_per_block=1,
        attention_head_dim=2,
        norm_num_groups=4,
        cross_attention_dim=12,
    ).eval()


def _inputs(n: int) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(n, 4, 8, 8, generator=rng), torch.full((n,), 500), torch.randn(n, 3, 12, generator=rng)


def _written_out(attn: Any, tokens: Tensor, n_together: int) -> Tensor:
    """Softmax attention in loops over objects and heads: each token of an object may look at all of its views."""
    answers = []
    for views in tokens.split(n_together):
        long = views.reshape(-1, views.shape[-1])
        query, key, value = (layer(long) for layer in (attn.to_q, attn.to_k, attn.to_v))
        heads = []
        for head in range(attn.heads):
            part = slice(head * query.shape[1] // attn.heads, (head + 1) * query.shape[1] // attn.heads)
            score = query[:, part] @ key[:, part].T / (query[:, part].shape[1] ** 0.5)
            heads.append(score.softmax(dim=1) @ value[:, part])
        answers.append(attn.to_out[0](torch.cat(heads, dim=1)).view_as(views))
    return torch.cat(answers)


class Loops:
    """A processor that computes self-attention as written out above, and leaves the other to the library."""

    def __init__(self, n_together: int) -> None:
        self.n_together = n_together

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **_: Any) -> Any:
        if encoder_hidden_states is not None:
            return AttnProcessor()(attn, hidden_states, encoder_hidden_states)
        return _written_out(attn, hidden_states, self.n_together)


@pytest.mark.parametrize("stock", [AttnProcessor, AttnProcessor2_0])
@pytest.mark.parametrize("n_together", [2, 4])
@torch.no_grad()
def test_the_network_with_joined_views_is_the_block_written_out(stock: Any, n_together: int):
    unet, (noisy, time, text) = _unet(), _inputs(8)
    unet.set_attn_processor(Loops(n_together))
    expected = unet(noisy, time, text).sample
    unet.set_attn_processor(stock())
    apart = unet(noisy, time, text).sample
    join_views(unet, n_together)
    joined = unet(noisy, time, text).sample
    torch.testing.assert_close(joined, expected, rtol=1e-4, atol=1e-5)
    assert (joined - apart).abs().max() > 1e-3


@torch.no_grad()
def test_one_view_is_the_stock_network():
    unet, (noisy, time, text) = _unet(), _inputs(2)
    stock = unet(noisy, time, text).sample
    join_views(unet, 1)
    assert not any(isinstance(processor, JoinedViews) for processor in unet.attn_processors.values())
    torch.testing.assert_close(unet(noisy, time, text).sample, stock, rtol=0, atol=0)


@torch.no_grad()
def test_a_view_sees_its_own_object_alone():
    """Changing one view changes the answers to its neighbours of the same object, and to no others."""
    unet, (noisy, time, text) = _unet(), _inputs(4)
    join_views(unet, 2)
    before = unet(noisy, time, text).sample
    other = noisy.clone()
    other[0] += 1
    change = (unet(other, time, text).sample - before).abs().flatten(1).amax(dim=1)
    assert change[1] > 1e-4
    assert change[2:].max() < 1e-6


@torch.no_grad()
def test_views_that_are_one_picture_are_answered_as_that_picture():
    """Attention to n equal copies of each token is attention to one: so joined weights need no learning to begin."""
    unet, (noisy, time, text) = _unet(), _inputs(1)
    alone = unet(noisy, time, text).sample
    join_views(unet, 4)
    four = unet(noisy.expand(4, -1, -1, -1), time.expand(4), text.expand(4, -1, -1)).sample
    torch.testing.assert_close(four, alone.expand_as(four), rtol=1e-4, atol=1e-5)


def test_cross_attention_stays_the_librarys():
    unet = _unet()
    join_views(unet, 4)
    for name, processor in unet.attn_processors.items():
        assert isinstance(processor, JoinedViews) == ("attn1" in name)

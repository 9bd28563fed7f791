"""The loss's levels of noise: what they learn, and what they weigh."""

import pytest
import torch

from toybox.loss_levels import LossLevels


def test_every_level_of_noise_comes_to_weigh_the_same():
    levels, rng = LossLevels(), torch.Generator().manual_seed(0)
    loss_at = torch.linspace(4.0, 0.1, LossLevels.COUNT)
    for _ in range(400):
        share = torch.rand(64, generator=rng)
        levels.balanced(loss_at[(share * LossLevels.COUNT).long()], share)
    torch.testing.assert_close(levels.expected, loss_at, rtol=1e-3, atol=1e-3)
    losses = loss_at.clone().requires_grad_(True)
    levels.balanced(losses, (torch.arange(LossLevels.COUNT) + 0.5) / LossLevels.COUNT).backward()
    assert losses.grad is not None
    shares = losses.grad * loss_at
    torch.testing.assert_close(shares, shares.mean().expand_as(shares), rtol=2e-2, atol=0)


def test_one_picture_moves_its_own_level_alone_and_by_the_stated_memory():
    levels = LossLevels()
    levels.balanced(torch.tensor([3.0]), torch.tensor([0.5]))
    moved = (levels.expected != 1).nonzero().flatten().tolist()
    assert moved == [LossLevels.COUNT // 2]
    assert levels.expected[moved].item() == pytest.approx(0.99 + 0.01 * 3)

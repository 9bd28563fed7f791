"""How undecided rays are, by hand."""

import math

import pytest
import torch

from systems.losses.opacity_entropy import opacity_entropy


def test_entropy_by_hand():
    assert opacity_entropy(torch.tensor([0.5])).item() == 1
    expected = -(0.25 * math.log2(0.25) + 0.75 * math.log2(0.75))
    assert opacity_entropy(torch.tensor([0.25, 0.75])).item() == pytest.approx(expected)
    assert opacity_entropy(torch.tensor([0.0, 1.0])).item() == pytest.approx(0, abs=2e-4)


def test_entropy_has_a_finite_gradient_everywhere():
    opacity = torch.tensor([0.0, 1e-6, 0.5, 1.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(opacity_entropy(opacity), opacity)
    assert bool(gradient.isfinite().all())


def test_entropy_is_float32_of_half_precision_opacity():
    assert opacity_entropy(torch.tensor([1.0], dtype=torch.bfloat16)).dtype == torch.float32

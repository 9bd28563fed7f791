"""Ray weights against numbers worked by hand, and what must hold for any ray."""

import math

import torch

from renderers.compositing import over_background, ray_weights, sum_over_rays

LN2 = math.log(2)


def test_weights_of_a_hand_worked_ray() -> None:
    # Each sample of depth ln 2 lets half of the light through; the third is empty, the last one opaque.
    weights = ray_weights(torch.tensor([[LN2, LN2, 0.0, 100.0]]))
    torch.testing.assert_close(weights, torch.tensor([[0.5, 0.25, 0.0, 0.25]]))


def test_what_was_passed_before_dims_all_weights() -> None:
    depths = torch.tensor([[LN2, LN2], [LN2, 100.0]])
    weights = ray_weights(depths, before=torch.tensor([[2 * LN2], [0.0]]))
    torch.testing.assert_close(weights, torch.tensor([[0.125, 0.0625], [0.5, 0.5]]))


def test_weights_and_the_light_left_add_up_to_one() -> None:
    depths = torch.rand(50, 30, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.5
    total = ray_weights(depths).sum(dim=1) + torch.exp(-depths.sum(dim=1))
    torch.testing.assert_close(total, torch.ones(50, dtype=torch.float64))


def test_cutting_a_ray_in_two_changes_nothing() -> None:
    depths = torch.rand(5, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    front, back = depths[:, :7], depths[:, 7:]
    pieces = [ray_weights(front), ray_weights(back, before=front.sum(dim=1, keepdim=True))]
    torch.testing.assert_close(torch.cat(pieces, dim=1), ray_weights(depths))


def test_a_thin_samples_weight_keeps_its_digits() -> None:
    depth = torch.tensor([[1e-9]])
    torch.testing.assert_close(ray_weights(depth), depth, rtol=1e-6, atol=0)


def test_gradients_equal_differences() -> None:
    depths = torch.rand(2, 4, dtype=torch.float64, requires_grad=True)
    before = torch.rand(2, 1, dtype=torch.float64, requires_grad=True)
    torch.autograd.gradcheck(ray_weights, (depths, before))


def test_sums_over_rays_leave_empty_rays_at_zero() -> None:
    values = torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    sums = sum_over_rays(values, torch.tensor([0, 0, 2]), 4)
    assert sums.tolist() == [[3.0, 30.0], [0.0, 0.0], [4.0, 40.0], [0.0, 0.0]]


def test_the_background_shines_through_what_is_open() -> None:
    picture = over_background(torch.tensor([[0.6]]), torch.tensor([0.75]), torch.tensor([[2.0]]))
    torch.testing.assert_close(picture, torch.tensor([[0.6 + 0.25 * 2.0]]))

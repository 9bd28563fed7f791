"""Normals of balls: outward, of unit length, and with a gradient."""

import torch

from renderers.normals import outward_normals
from tests.fields import Balls


def test_normals_on_a_soft_ball_point_away_from_its_middle() -> None:
    points = torch.nn.functional.normalize(torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), dim=-1)
    normals = outward_normals(Balls(0.4, 80.0, softness=0.05), points * 0.4, step=0.01)
    torch.testing.assert_close(normals.norm(dim=-1), torch.ones(50))
    assert (normals * points).sum(dim=-1).min() > 0.999


def test_where_nothing_changes_there_is_no_normal() -> None:
    points = torch.tensor([[0.0, 0.0, 0.1], [0.6, 0.0, 0.0]])
    assert not outward_normals(Balls(0.4, 80.0), points, step=0.01).any()


def test_a_loss_on_normals_reaches_the_field() -> None:
    field = Balls(0.4, 80.0, softness=0.05)
    points = torch.tensor([[0.4, 0.0, 0.0]], requires_grad=True)
    outward_normals(field, points, step=0.01)[0, 1].backward()
    assert points.grad is not None
    assert points.grad[0, 1] > 1, "moving up along the ball turns the normal up"

"""Where samples stand: in the ball, in their intervals, and the intervals fill the chord."""

import math

import torch
from torch import Tensor

from renderers.sampling import ball_span, stratified_intervals


def random_rays(n_rays: int) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    origins = torch.nn.functional.normalize(torch.randn(n_rays, 3, generator=rng), dim=-1) * 2
    aims = torch.rand(n_rays, 3, generator=rng) - 0.5
    return origins, torch.nn.functional.normalize(aims - origins, dim=-1)


def test_span_of_hand_worked_rays() -> None:
    origins = torch.tensor([[0.0, 0, 3], [0, 0.6, 3], [0, 2, 3], [0, 0, 0], [0, 0, 3]])
    directions = torch.tensor([[0.0, 0, -1], [0, 0, -1], [0, 0, -1], [1, 0, 0], [0, 0, 1]])
    near, far = ball_span(origins, directions, 1.0)
    through, beside, away = (2.0, 4.0), (2.2, 3.8), (0.0, 0.0)  # chord at height 0.6: 2 x 0.8
    torch.testing.assert_close(near[[0, 1, 3, 4]], torch.tensor([through[0], beside[0], 0.0, away[0]]))
    torch.testing.assert_close(far[[0, 1, 3, 4]], torch.tensor([through[1], beside[1], 1.0, away[1]]))
    assert near[2] == far[2], "a ray that misses has no span"


def test_samples_are_in_the_ball_and_in_their_interval() -> None:
    origins, directions = random_rays(200)
    near, far = ball_span(origins, directions, 0.7)
    step = 1.4 / 24
    made = stratified_intervals(near, far, step, 24, torch.rand(200, 24, generator=torch.Generator().manual_seed(1)))
    real = made.widths > 0
    positions = origins[:, None] + made.distances[..., None] * directions[:, None]
    assert positions.norm(dim=-1)[real].max() <= 0.7 + 1e-5
    starts = near[:, None] + step * torch.arange(24)
    assert (made.distances >= starts)[real].all()
    assert (made.distances <= starts + made.widths + 1e-6)[real].all()


def test_intervals_fill_the_chord_exactly() -> None:
    origins, directions = random_rays(200)
    near, far = ball_span(origins, directions, 0.7)
    made = stratified_intervals(near, far, 1.4 / 24, 24)
    torch.testing.assert_close(made.widths.sum(dim=1), far - near, atol=1e-5, rtol=0)
    assert int((made.widths > 0).sum(dim=1).max()) <= 24


def test_without_chance_samples_stand_in_the_middle() -> None:
    made = stratified_intervals(torch.tensor([1.0]), torch.tensor([1.25]), 0.1, 4)
    torch.testing.assert_close(made.distances[:, :3], torch.tensor([[1.05, 1.15, 1.225]]))
    torch.testing.assert_close(made.widths, torch.tensor([[0.1, 0.1, 0.05, 0.0]]))


def test_chance_spreads_samples_evenly() -> None:
    near, far = torch.zeros(4000), torch.full((4000,), 0.5)
    made = stratified_intervals(near, far, 0.1, 5, torch.rand(4000, 5, generator=torch.Generator().manual_seed(3)))
    share = (made.distances - 0.1 * torch.arange(5)) / 0.1
    assert abs(share.mean() - 0.5) < 0.01
    assert abs(share.std() - 1 / math.sqrt(12)) < 0.01

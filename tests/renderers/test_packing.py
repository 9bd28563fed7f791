"""Packing against a plain loop over rays and samples."""

import torch
from torch import Generator

from renderers.occupancy import OccupancyGrid
from renderers.packing import pack
from renderers.sampling import ball_span, stratified_intervals


def test_packed_samples_are_those_of_a_plain_loop() -> None:
    rng = Generator().manual_seed(0)
    origins = torch.nn.functional.normalize(torch.randn(12, 3, generator=rng), dim=-1) * 2
    directions = torch.nn.functional.normalize(torch.rand(12, 3, generator=rng) - 0.5 - origins, dim=-1)
    directions[3] *= -1  # looks away from the ball: no samples
    near, far = ball_span(origins, directions, 0.7)
    intervals = stratified_intervals(near, far, 0.1, 14, torch.rand(12, 14, generator=rng))
    grid = OccupancyGrid(0.7, 6)
    grid.occupied.copy_(torch.rand(6, 6, 6, generator=rng) < 0.4)
    packed = pack(origins, directions, intervals, grid)

    expected = []
    for ray in range(12):
        rank = 0
        for distance, width in zip(intervals.distances[ray].tolist(), intervals.widths[ray].tolist(), strict=True):
            position = (origins[ray] + distance * directions[ray]).tolist()
            x, y, z = (min(5, int((coordinate + 0.7) / 1.4 * 6)) for coordinate in position)
            if width > 0 and grid.occupied[x, y, z]:
                expected.append([*position, distance, width, ray, rank])
                rank += 1
    assert len(packed.rank) == len(expected) > 20
    found = torch.stack([packed.distances, packed.widths, packed.ray_index, packed.rank], dim=1)
    torch.testing.assert_close(torch.cat([packed.positions, found], dim=1), torch.tensor(expected))
    assert 3 not in packed.ray_index

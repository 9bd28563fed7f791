"""The hash encoding against a version written out number by number, and its gradients against differences."""

import math

import pytest
import torch

from geometry.hash_grid import HashGrid, corner_entries, interpolate
from geometry.hash_grid_backends import HASH_GRIDS
from geometry.hash_levels import HashGridShape, Level, level_layout

SMALL = HashGridShape(n_levels=4, base_resolution=4, finest_resolution=29, log2_table_size=9, n_features=2)


def entry_by_hand(x: int, y: int, z: int, resolution: int, n_entries: int) -> int:
    """Row of a vertex, in Python's unbounded integers."""
    if resolution**3 <= n_entries:
        return (x + y * resolution + z * resolution * resolution) % n_entries
    hashed = x ^ ((y * 2654435761) % 2**32) ^ ((z * 805459861) % 2**32)
    return hashed % n_entries


def feature_by_hand(position: list[float], scale: float, resolution: int, table: list[list[float]]) -> list[float]:
    """Trilinear interpolation with three loops."""
    cell = [math.floor(x * scale + 0.5) for x in position]
    rest = [x * scale + 0.5 - c for x, c in zip(position, cell, strict=True)]
    total = [0.0] * len(table[0])
    for dx in (0, 1):
        for dy in (0, 1):
            for dz in (0, 1):
                weight = 1.0
                for d, f in zip((dx, dy, dz), rest, strict=True):
                    weight *= f if d else 1 - f
                row = table[entry_by_hand(cell[0] + dx, cell[1] + dy, cell[2] + dz, resolution, len(table))]
                total = [t + weight * r for t, r in zip(total, row, strict=True)]
    return total


def test_layout_of_hand_worked_levels() -> None:
    levels = level_layout(HashGridShape(4, 8, 64, 15, 2))  # b = 2
    assert [level.scale for level in levels] == [7.0, 15.0, 31.0, 63.0]
    assert [level.resolution for level in levels] == [8, 16, 32, 64]
    assert [level.n_entries for level in levels] == [512, 4096, 32768, 32768]
    assert [level.is_dense for level in levels] == [True, True, True, False]


def test_tables_are_rounded_up_to_eight_entries() -> None:
    (level,) = level_layout(HashGridShape(1, 5, 5, 15, 2))
    assert (level.resolution, level.n_entries, level.is_dense) == (5, 128, True)


def test_the_papers_finest_level_has_2048_vertices() -> None:
    levels = level_layout(HashGridShape(16, 16, 2048, 19, 2))
    assert levels[0].resolution == 16
    assert levels[-1].resolution in (2048, 2049)  # the last bit of float32 decides, in tiny-cuda-nn too
    assert levels[-1].n_entries == 2**19


@pytest.mark.parametrize("n_features", [2, 4])
def test_encoding_equals_the_written_out_version(n_features: int) -> None:
    torch.manual_seed(0)
    shape = HashGridShape(4, 4, 29, 9, n_features)
    grid = HashGrid(shape).double()
    with torch.no_grad():
        for table in grid.tables:
            table.normal_()
    positions = torch.rand(12, 3, dtype=torch.float64)
    positions[:4] = torch.tensor([[0.0, 0, 0], [1, 1, 1], [0, 1, 0.5], [1, 0.25, 0]], dtype=torch.float64)
    tables = [table.tolist() for table in grid.tables]
    by_hand = [
        [
            feature
            for level, table in zip(level_layout(shape), tables, strict=True)
            for feature in feature_by_hand(point, level.scale, level.resolution, table)
        ]
        for point in positions.tolist()
    ]
    assert {level.is_dense for level in grid.levels} == {True, False}, "the test must see both kinds of level"
    torch.testing.assert_close(grid(positions), torch.tensor(by_hand, dtype=torch.float64))


def test_weights_are_shares_and_rows_are_in_the_table() -> None:
    positions = torch.rand(3, 500)
    for level in level_layout(SMALL):
        rows, weights = corner_entries(positions, level)
        torch.testing.assert_close(weights.sum(dim=0), torch.ones(500))
        assert weights.min() >= 0
        assert 0 <= rows.min() <= rows.max() < level.n_entries


@pytest.mark.parametrize(
    "level", [Level(2.0, 3, 32, is_dense=True), Level(9.0, 10, 16, is_dense=False)], ids=["dense", "hashed"]
)
def test_gradients_of_tables_and_positions_equal_differences(level: Level) -> None:
    torch.manual_seed(1)
    table = torch.randn(level.n_entries, 4, dtype=torch.float64, requires_grad=True)
    positions = torch.rand(3, 3, dtype=torch.float64, requires_grad=True)

    def encode(table: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        return interpolate(table, *corner_entries(positions, level))

    torch.autograd.gradcheck(encode, (table, positions))
    torch.autograd.gradgradcheck(encode, (table, positions))


def test_unit_gradients_land_on_the_eight_corners() -> None:
    grid = HashGrid(SMALL)
    position = torch.tensor([[0.31, 0.62, 0.47]])
    grid(position)[0, 0].backward()
    rows, weights = corner_entries(position.t(), grid.levels[0])
    gradient = grid.tables[0].grad
    assert gradient is not None
    torch.testing.assert_close(gradient[rows[:, 0].long(), 0], weights[:, 0])
    assert int((gradient != 0).sum()) == 8
    other = grid.tables[1].grad
    assert other is not None
    assert not other.any()


def test_backend_torch_is_the_definition() -> None:
    assert HASH_GRIDS.choose("torch") is HashGrid

"""What the occupancy grid skips, and that it never skips more than it promises."""

from typing import Any

import pytest
import torch

from core.errors import UserError
from renderers.occupancy import OccupancyGrid
from tests.fields import Balls


def grid(**settings: Any) -> OccupancyGrid:
    return OccupancyGrid(bound=0.7, **{"resolution": 14, "warmup_steps": 32, "refresh_every": 4, **settings})


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_everything_is_occupied_until_the_warmup_ends() -> None:
    made, field = grid(), Balls(0.3, 50.0)
    for step in range(32):
        made.refresh(field, step, rng())
    assert made.occupied.all()
    assert field.n_calls == 0
    made.refresh(field, 32, rng())
    assert not made.occupied.all()


def test_cells_inside_are_kept_and_cells_outside_are_skipped() -> None:
    made = grid()
    made.refresh(Balls(0.35, 50.0), 32, rng())
    distance = made.cell_centres().norm(dim=-1)
    reach = made.cell_width * 3**0.5 / 2
    assert made.occupied[distance < 0.35 - reach].all()
    assert not made.occupied[distance > 0.35 + reach].any()


def test_contains_reads_the_cell_that_a_point_lies_in() -> None:
    made = grid(resolution=2)
    made.occupied.copy_(torch.tensor([[[0, 1], [0, 0]], [[0, 0], [1, 0]]], dtype=torch.bool))  # [x][y][z]
    points = torch.tensor([[-0.1, -0.5, 0.2], [0.3, 0.1, -0.6], [0.3, 0.1, 0.6], [-9.0, -9.0, 9.0]])
    assert made.contains(points).tolist() == [True, True, False, True]


def test_only_thin_cells_are_skipped() -> None:
    for density, kept in ((0.0199, False), (0.0201, True)):  # cell width 0.1, threshold 0.002
        made = grid()
        made.refresh(Balls(9.0, density), 32, rng())
        inside = made.cell_centres().norm(dim=-1) < 0.6
        assert made.occupied[inside].all() == kept
        assert made.occupied[inside].any() == kept


def test_all_cells_are_seen_again_within_four_refreshes() -> None:
    made = grid()
    made.refresh(Balls(0.2, 50.0), 32, rng())
    before = made.occupied.clone()
    for turn in range(1, 5):
        made.refresh(Balls(0.5, 50.0), 32 + 4 * turn, rng(turn))
    distance = made.cell_centres().norm(dim=-1)
    assert not before[(distance > 0.3) & (distance < 0.4)].any()
    assert made.occupied[distance < 0.4].all()


def test_a_cell_that_became_empty_is_forgotten() -> None:
    made = grid()
    made.refresh(Balls(0.6, 50.0), 32, rng())
    for turn in range(1, 4 * 20):
        made.refresh(Balls(0.2, 50.0), 32 + 4 * turn, rng(turn))
    assert not made.occupied[made.cell_centres().norm(dim=-1) > 0.35].any()


def test_forced_cells_stay_whatever_the_field_says() -> None:
    made = grid()
    cells = torch.zeros(14, 14, 14, dtype=torch.bool)
    cells[0, 0, 0] = cells[3, 4, 5] = True
    made.force(cells)
    made.refresh(Balls(0.1, 0.0), 32, rng())
    assert torch.equal(made.occupied, cells)
    with pytest.raises(ValueError, match=r"expected \(14, 14, 14\), got \(2, 2, 2\)"):
        made.force(torch.ones(2, 2, 2, dtype=torch.bool))


def test_it_refreshes_only_when_due() -> None:
    made, field = grid(), Balls(0.3, 50.0)
    for step in range(32, 44):
        made.refresh(field, step, rng())
    assert field.n_calls == 3


def test_the_state_travels_with_a_checkpoint() -> None:
    first, second = grid(), grid()
    first.refresh(Balls(0.3, 50.0), 32, rng())
    second.load_state_dict(first.state_dict())
    for made in (first, second):
        made.refresh(Balls(0.35, 50.0), 36, rng(7))
    assert torch.equal(first.occupied, second.occupied)
    assert torch.equal(first.density, second.density)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("density", r"density of the geometry 'odd' gave a tuple, not one of shape \(\d+,\)"),
        ("forward", "not FieldOutput"),
    ],
)
def test_a_field_that_gives_the_wrong_thing_is_named(method: str, said: str) -> None:
    field = Balls(0.3, 50.0)
    field.part_name = "odd"  # pyright: ignore[reportAttributeAccessIssue]
    setattr(field, method, lambda positions: (positions, positions))
    with pytest.raises(UserError, match=rf"fields\.py:\d+: .*{said}"):
        grid(warmup_steps=0).refresh(field, 0, rng())

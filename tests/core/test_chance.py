"""Chance is a function of seed, stream and step; ranks together draw what one process draws, and have all views."""

from collections.abc import Callable

import pytest
import torch
from torch import Generator, Tensor

from core.cameras import orbit_cameras
from core.chance import ALONE, Rank, Stream, integers, normal, rank_of, stream, uniform

DRAWS: dict[str, Callable[[Generator, int], Tensor]] = {
    "uniform": lambda rng, n: uniform(rng, n, 5, 3),
    "double": lambda rng, n: uniform(rng, n, 4, dtype=torch.float64),
    "normal": lambda rng, n: normal(rng, n, 7),
    "integers": lambda rng, n: integers(rng, 9, n),
}


def of_rank(rank: Rank) -> Stream:
    """The stream of `Generator().manual_seed(3)`."""
    made = Stream()
    made.manual_seed(3)
    made.rank = rank
    return made


@pytest.mark.parametrize("name", DRAWS)
@pytest.mark.parametrize("n_ranks", [2, 3])
def test_rows_of_all_ranks_are_those_of_one_process(name: str, n_ranks: int) -> None:
    draw, alone = DRAWS[name], Generator().manual_seed(3)
    streams = [of_rank(Rank(number, n_ranks)) for number in range(n_ranks)]
    for _ in range(2):  # what is drawn next goes on from the same place
        assert torch.equal(torch.cat([draw(each, 4) for each in streams]), draw(alone, 4 * n_ranks))


def test_a_process_alone_draws_as_torch_does() -> None:
    alone = Generator().manual_seed(3)
    assert rank_of(alone) == ALONE
    assert torch.equal(normal(of_rank(ALONE), 6, 2), torch.randn(6, 2, generator=Generator().manual_seed(3)))
    assert (ALONE.share_factor(7), ALONE.before(7)) == (1.0, 0)


def test_each_view_has_one_rank() -> None:
    azimuths = torch.arange(6.0)
    cameras = orbit_cameras(torch.zeros(6), azimuths, torch.full((6,), 2.0), torch.full((6,), 45.0), 8, 8)
    parts = [Rank(number, 3).own(cameras) for number in range(3)]
    assert [len(part) for part in parts] == [2, 2, 2]
    assert torch.equal(torch.cat([part.azimuth_deg for part in parts]), azimuths)


def drawn(seed: int, name: str, step: int) -> torch.Tensor:
    return torch.rand(8, generator=stream(seed, name, step))


def test_the_same_step_draws_the_same_whatever_came_before():
    first = drawn(1, "training", 7)
    for step in range(7):
        drawn(1, "training", step)
    assert torch.equal(first, drawn(1, "training", 7))


def test_seeds_names_and_steps_all_matter():
    numbers = [drawn(1, "training", 7), drawn(2, "training", 7), drawn(1, "validation", 7), drawn(1, "training", 8)]
    assert len({tuple(values.tolist()) for values in numbers}) == 4


def test_neighbouring_steps_are_not_alike():
    draws = torch.stack([drawn(0, "training", step) for step in range(4000)])
    torch.testing.assert_close(draws.mean(dim=0), torch.full((8,), 0.5), atol=0.02, rtol=0)
    following = torch.corrcoef(torch.stack([draws[:-1].flatten(), draws[1:].flatten()]))[0, 1]
    assert abs(float(following)) < 0.02


def test_the_global_stream_is_left_alone():
    state = torch.random.get_rng_state()
    drawn(0, "training", 0)
    assert torch.equal(state, torch.random.get_rng_state())

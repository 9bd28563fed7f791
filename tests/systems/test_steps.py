"""Chance as a function of seed, stream and step."""

import torch

from systems.steps import stream


def _draw(seed: int, name: str, step: int) -> torch.Tensor:
    return torch.rand(8, generator=stream(seed, name, step))


def test_the_same_step_draws_the_same_whatever_came_before():
    first = _draw(1, "training", 7)
    for step in range(7):
        _draw(1, "training", step)
    assert torch.equal(first, _draw(1, "training", 7))


def test_seeds_names_and_steps_all_matter():
    drawn = [_draw(1, "training", 7), _draw(2, "training", 7), _draw(1, "validation", 7), _draw(1, "training", 8)]
    assert len({tuple(values.tolist()) for values in drawn}) == 4


def test_neighbouring_steps_are_not_alike():
    draws = torch.stack([_draw(0, "training", step) for step in range(4000)])
    torch.testing.assert_close(draws.mean(dim=0), torch.full((8,), 0.5), atol=0.02, rtol=0)
    following = torch.corrcoef(torch.stack([draws[:-1].flatten(), draws[1:].flatten()]))[0, 1]
    assert abs(float(following)) < 0.02


def test_the_global_stream_is_left_alone():
    state = torch.random.get_rng_state()
    _draw(0, "training", 0)
    assert torch.equal(state, torch.random.get_rng_state())

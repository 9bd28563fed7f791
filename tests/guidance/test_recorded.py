"""Recorded work answers as the function itself does, for every shape and after its weights have moved."""

import pytest
import torch
from torch import Tensor, nn

from guidance.recorded import Recorded

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]


class Layer:
    """y = W x + t, counting how often it is really called."""

    def __init__(self) -> None:
        self.weights, self.n_calls = nn.Linear(4, 4, device="cuda"), 0

    @torch.no_grad()
    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        self.n_calls += 1
        return self.weights(x) + t


def inputs(n: int) -> tuple[Tensor, Tensor]:
    return torch.randn(n, 4, device="cuda"), torch.randn(n, 1, device="cuda")


def test_answers_are_those_of_the_function() -> None:
    layer = Layer()
    recorded = Recorded(layer)
    asked = [inputs(n) for n in (2, 3, 2, 2, 3)]
    answers = [recorded(*each) for each in asked]  # kept: a later answer must not write over an earlier one
    for each, answer in zip(asked, answers, strict=True):
        torch.testing.assert_close(answer, layer(*each))


def test_weights_that_moved_count_after_forgetting() -> None:
    layer = Layer()
    recorded = Recorded(layer)
    asked = inputs(2)
    before = recorded(*asked)
    layer.weights = nn.Linear(4, 4, device="cuda")
    recorded.forget()
    torch.testing.assert_close(recorded(*asked), layer(*asked))
    assert not torch.equal(recorded(*asked), before)


def test_what_is_recorded_is_not_called_again() -> None:
    layer = Layer()
    recorded = Recorded(layer)
    recorded(*inputs(2))
    n_calls = layer.n_calls
    recorded(*inputs(2))
    assert layer.n_calls == n_calls


def test_work_that_cannot_be_recorded_is_done_step_by_step() -> None:
    recorded = Recorded(lambda x: x * float(x.sum()))  # waits for the GPU
    x = torch.randn(5, device="cuda")
    for _ in range(2):
        torch.testing.assert_close(recorded(x), x * x.sum())

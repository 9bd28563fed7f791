"""Memory: how much there is, what is refused for it, and work that tries less at once."""

import logging
import resource
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from core.errors import UserError
from core.memory import (
    free_memory,
    in_units,
    is_out_of_memory,
    recomputed,
    require_memory,
    usable_memory,
    with_less_at_once,
    with_less_memory,
)


def test_what_is_free_is_no_more_than_what_is_usable():
    assert 0 < free_memory() <= usable_memory()


def test_a_limit_of_the_shell_counts():
    code = (
        "import resource\nfrom core.memory import usable_memory\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**28, resource.RLIM_INFINITY))\nprint(usable_memory())"
    )
    assert int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) == 2**28
    assert resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY or usable_memory() > 0


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1 KiB"), (3.25 * 2**30, "3.25 GiB"), (2.0**81, "2 YiB")],
)
def test_amounts_are_told_in_units(n_bytes: float, text: str):
    assert in_units(n_bytes) == text


def test_a_setting_is_refused_that_no_memory_can_meet():
    require_memory("n_views", 4, 2**20)
    with pytest.raises(UserError, match=r"^n_views: 1000 would take 1 EiB of memory, and this .*give less$"):
        require_memory("n_views", 1000, 2.0**60)


@pytest.mark.parametrize(
    "take",
    [
        lambda: torch.empty(10**15),
        lambda: torch.empty(2**62, 4),
        lambda: torch.zeros(2**40, 2**40),
        lambda: np.zeros(10**15),
        lambda: bytearray(2**60),
    ],
)
def test_libraries_say_that_memory_is_out_each_in_its_way(take):
    with pytest.raises((MemoryError, RuntimeError)) as caught:
        take()
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not fit"))


def test_work_is_tried_once_more_with_less_at_once(caplog: pytest.LogCaptureFixture):
    tried: list[int] = []

    def work(at_once: int) -> str:
        tried.append(at_once)
        if at_once > 4:
            raise MemoryError
        return "done"

    with caplog.at_level(logging.WARNING):
        assert with_less_at_once(work, 16) == "done"
    assert tried == [16, 4]
    assert caplog.messages == ["out of memory; trying once more with 4 at once, not 16, which takes longer"]
    with pytest.raises(MemoryError):
        with_less_at_once(work, 1000)
    assert tried == [16, 4, 1000, 250], "once, no more"
    with pytest.raises(ZeroDivisionError):
        with_less_at_once(lambda n: 1 // 0, 16)


def test_where_nothing_takes_less_it_is_not_tried_again(caplog: pytest.LogCaptureFixture):
    tried: list[int] = []

    def work() -> None:
        tried.append(1)
        raise MemoryError

    with pytest.raises(MemoryError):
        with_less_memory(work, lambda: "")
    assert (len(tried), caplog.messages) == (1, [])


def kept_bytes(work: Callable[[], Tensor]) -> int:
    """What is kept in memory for the gradient of a result."""
    kept: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        kept.append(tensor.nbytes)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    return sum(kept)


def test_what_is_computed_again_is_the_same_and_keeps_next_to_nothing():
    network = torch.nn.Sequential(torch.nn.Linear(3, 200), torch.nn.ReLU(), torch.nn.Linear(200, 1)).double()
    rows = torch.rand(50, 3, dtype=torch.double, requires_grad=True)
    wanted = torch.autograd.grad(network(rows).square().sum(), [rows, *network.parameters()])
    pieces = recomputed(network, rows, at_once=7)
    assert [len(piece) for piece in pieces] == [7] * 7 + [1]
    ours = torch.autograd.grad(torch.cat(pieces).square().sum(), [rows, *network.parameters()])
    torch.testing.assert_close(ours, wanted)
    plain = kept_bytes(lambda: network(rows))
    assert kept_bytes(lambda: torch.cat(recomputed(network, rows, at_once=7))) < plain / 20

"""Memory: how much there is, what is refused for it, and work that tries less at once."""

import logging
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch

from core.errors import UserError
from core.memory import free_memory, in_units, is_out_of_memory, require_memory, usable_memory, with_less_at_once


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


@pytest.mark.parametrize("take", [lambda: torch.empty(10**15), lambda: np.zeros(10**15), lambda: bytearray(2**60)])
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
    assert caplog.messages == ["out of memory with 16 at once; trying 4, which takes longer"]
    with pytest.raises(MemoryError):
        with_less_at_once(work, 1000)
    assert tried == [16, 4, 1000, 250], "once, no more"
    with pytest.raises(ZeroDivisionError):
        with_less_at_once(lambda n: 1 // 0, 16)

"""Trainings compute in bfloat16 only where the processor does not emulate it."""

import pytest
import torch

from toybox import precision
from toybox.precision import quick_autocast


@pytest.mark.parametrize(
    ("known", "exact", "expected"),
    [
        ({"avx2": True}, False, torch.float32),
        ({"avx512_bf16": True}, False, torch.bfloat16),
        ({"amx_bf16": True}, False, torch.bfloat16),
        ({"amx_bf16": True}, True, torch.float32),
    ],
)
def test_products_come_out_in_what_the_processor_computes(known, exact, expected, monkeypatch):
    monkeypatch.setattr(precision.torch.cpu, "get_capabilities", lambda: known)
    with quick_autocast("cpu", exact):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == expected

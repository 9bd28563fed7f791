"""In which precision frozen networks compute."""

from typing import Literal

import torch

Precision = Literal["auto", "float32", "float16", "bfloat16"]


def frozen_dtype(precision: Precision, device: torch.device) -> torch.dtype:
    """What a recipe's word stands for; `auto` is float16 on a GPU, bfloat16 on CPUs that compute it, else float32."""
    if precision != "auto":
        return getattr(torch, precision)
    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if _cpu_computes_bfloat16() else torch.float32


def _cpu_computes_bfloat16() -> bool:
    """Whether this CPU has instructions for it, and does not merely emulate it (several times slower)."""
    known = getattr(torch.cpu, "get_capabilities", dict)()  # older versions of torch cannot tell
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))

"""In which precision trainings compute."""

import torch


def quick_autocast(device: str, exact: bool = False) -> torch.autocast:
    """bfloat16 where the processor has instructions for it, else float32: emulated, it is 9 to 30 times slower.

    Args:
        exact: float32 on every processor.
    """
    return torch.autocast(device, torch.bfloat16, enabled=not exact and (device != "cpu" or _cpu_has_bfloat16()))


def _cpu_has_bfloat16() -> bool:
    known = torch.cpu.get_capabilities()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))

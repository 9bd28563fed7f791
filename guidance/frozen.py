"""Networks that are used and never trained, and in which precision they compute."""

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn

Precision = Literal["auto", "float32", "float16", "bfloat16"]


class FrozenNetworks(nn.Module):
    """Holds networks that follow it to a device, and that no optimiser and no checkpoint sees.

    They are no submodules, so `parameters()` and `state_dict()` stay empty (a checkpoint would otherwise hold a copy of
    the whole diffusion model) and `train()` leaves them in evaluation mode. Further ones are held by `hold`.
    """

    def __init__(self, *networks: nn.Module) -> None:
        super().__init__()
        self._networks: list[nn.Module] = []
        for network in networks:
            self.hold(network)

    def hold(self, network: nn.Module) -> None:
        """Hold a network, frozen, from now on."""
        self._networks.append(network.requires_grad_(False).eval())

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FrozenNetworks":
        for network in self._networks:
            network._apply(fn)
        return super()._apply(fn, recurse)


def by_rows(network: Callable[..., Tensor], batch: Sequence[Tensor], n_at_once: int) -> Tensor:
    """What a network makes of a batch, so many rows of each tensor at a time."""
    return torch.cat([network(*rows) for rows in zip(*(each.split(n_at_once) for each in batch), strict=True)])


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

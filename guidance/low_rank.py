"""A LoRA of a frozen denoiser: a small correction of its attention, switched on and off, trained beside the field."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

#: Endings of the names of the layers that are corrected.
CORRECTED = ("to_q", "to_k", "to_v", "to_out.0")


class LowRank(nn.Module):
    """y = W x + B A x in every attention layer of a network, B being 0 at first.

    The network is no submodule: it stays frozen and out of checkpoints.

    Source: LoRA (arXiv:2106.09685), eq. 3.
    """

    def __init__(self, network: nn.Module, rank: int) -> None:
        super().__init__()
        self.down, self.up = nn.ParameterList(), nn.ParameterList()
        self._is_on = False
        for name, layer in network.named_modules():
            if name.endswith(CORRECTED) and isinstance(layer, nn.Linear):
                self.down.append(nn.Parameter(torch.randn(rank, layer.in_features) / rank**0.5))
                self.up.append(nn.Parameter(torch.zeros(layer.out_features, rank)))
                layer.register_forward_hook(self._correction(len(self.down) - 1))
        if not len(self.down):
            raise ValueError(f"{type(network).__name__} has no attention layer called {', '.join(CORRECTED)}")

    @contextmanager
    def on(self) -> Iterator[None]:
        """Within this block the network is the corrected one."""
        self._is_on = True
        try:
            yield
        finally:
            self._is_on = False

    def _correction(self, i: int) -> Any:
        def corrected(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
            if not self._is_on:
                return None
            down, up = (matrix[i].to(output.dtype) for matrix in (self.down, self.up))
            return output + inputs[0] @ down.T @ up.T

        return corrected

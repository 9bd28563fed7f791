"""A LoRA of a frozen denoiser: a small correction of its attention, switched on and off, trained beside the field."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

#: Endings of the names of the layers that are corrected.
CORRECTED = ("to_q", "to_k", "to_v", "to_out.0")


class LowRank(nn.Module):
    """y = W x + B A x in every attention layer of a network, B being 0 at first.

    The network is no submodule: it stays frozen and out of checkpoints. Nothing of ours is left in it outside of `on`,
    since it may go on to another training.

    Source: LoRA (arXiv:2106.09685), eq. 3.
    """

    def __init__(self, network: nn.Module, rank: int) -> None:
        """
        Args:
            network: one of the layers to be corrected; their shapes alone are read, so that it may be without weights.
        """
        super().__init__()
        self.down, self.up = nn.ParameterList(), nn.ParameterList()
        self._names: list[str] = []
        for name, layer in network.named_modules():
            if name.endswith(CORRECTED) and isinstance(layer, nn.Linear):
                self.down.append(nn.Parameter(torch.randn(rank, layer.in_features) / rank**0.5))
                self.up.append(nn.Parameter(torch.zeros(layer.out_features, rank)))
                self._names.append(name)
        if not self._names:
            raise ValueError(f"{type(network).__name__} has no attention layer called {', '.join(CORRECTED)}")

    @contextmanager
    def on(self, network: nn.Module) -> Iterator[None]:
        """Within this block a network is the corrected one."""
        with ExitStack() as hooks:
            for name, down, up in zip(self._names, self.down, self.up, strict=True):
                hooks.callback(network.get_submodule(name).register_forward_hook(_correction(down, up)).remove)
            yield


def _correction(down: Tensor, up: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def corrected(_: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return output + inputs[0] @ down.T.to(output.dtype) @ up.T.to(output.dtype)

    return corrected

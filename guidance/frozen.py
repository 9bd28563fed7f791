"""Networks that are used and never trained."""

from collections.abc import Callable

from torch import Tensor, nn


class FrozenNetworks(nn.Module):
    """Holds networks that follow it to a device, and that no optimiser and no checkpoint sees.

    They are no submodules, so `parameters()` and `state_dict()` stay empty (a checkpoint would otherwise hold a copy of
    the whole diffusion model) and `train()` leaves them in evaluation mode.
    """

    def __init__(self, *networks: nn.Module) -> None:
        super().__init__()
        self._networks = networks
        for network in networks:
            network.requires_grad_(False).eval()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "FrozenNetworks":
        for network in self._networks:
            network._apply(fn)
        return super()._apply(fn, recurse)

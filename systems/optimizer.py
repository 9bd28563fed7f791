"""The optimiser of a training: Adam over the groups of parameters that the parts declare."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from core.errors import UserError, require
from core.schedule import Schedule


@dataclass(frozen=True)
class AdamSettings:
    """Adam (arXiv:1412.6980), as instant NGP and Latent-NeRF set it; learning rates belong to the parts."""

    betas: tuple[float, float] = (0.9, 0.99)
    """Decay of the first and second moments."""
    eps: float = 1e-15
    """Added to the second moment's root: small, because a hash grid's gradients are."""
    rate: Schedule = field(default_factory=lambda: Schedule.constant(1.0))
    """Factor on all learning rates over the training."""

    def __post_init__(self) -> None:
        require(all(0 <= beta < 1 for beta in self.betas), f"betas: from 0 to below 1, got {list(self.betas)}")
        require(self.eps > 0, f"eps: above 0, got {self.eps:g}")

    def over(self, groups: list[dict[str, Any]], total_steps: int) -> dict[str, Any]:
        """Adam and the schedule of its rates, as Lightning wants them."""
        adam = torch.optim.Adam(groups, betas=self.betas, eps=self.eps)
        rate = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: self.rate.at(step, total_steps))
        return {"optimizer": adam, "lr_scheduler": {"scheduler": rate, "interval": "step"}}

    def renew(self, checkpoint: dict[str, Any], groups: list[dict[str, Any]], total_steps: int, geometry: str) -> None:
        """Put these settings, and the groups' rates, in the place of those that a checkpoint would bring back.

        Args:
            geometry: the geometry's path in the recipe, for the error.

        Raises:
            UserError: the checkpoint's state is of other tensors than these groups.
        """
        check_same_tensors(checkpoint, groups, geometry)
        (rates,), (adam,) = checkpoint["lr_schedulers"], checkpoint["optimizer_states"]
        factor = self.rate.at(rates["last_epoch"], total_steps)
        fresh = self.over(groups, total_steps)["optimizer"].param_groups
        for kept, new in zip(adam["param_groups"], fresh, strict=True):
            kept.update({name: value for name, value in new.items() if name != "params"})
            kept["lr"] = new["initial_lr"] * factor
        rates["base_lrs"] = [new["initial_lr"] for new in fresh]


def check_groups(system: nn.Module, groups: list[dict[str, Any]]) -> None:
    """Every trained parameter is in exactly one group, or the part's author has made a mistake."""
    grouped = [id(parameter) for group in groups for parameter in group["params"]]
    for name, parameter in system.named_parameters():
        if parameter.requires_grad and grouped.count(id(parameter)) != 1:
            raise TypeError(f"{name} is in {grouped.count(id(parameter))} parameter groups; one is right")


def check_same_tensors(checkpoint: dict[str, Any], groups: Sequence[dict[str, Any]], geometry: str) -> None:
    """Refuse an optimiser's state of other tensors than this training has.

    Args:
        geometry: the geometry's path in the recipe.

    Raises:
        UserError: other backends keep one field's values in other tensors, and moments are not converted.
    """
    theirs = [len(group["params"]) for group in checkpoint["optimizer_states"][0]["param_groups"]]
    ours = [len(list(group["params"])) for group in groups]
    if theirs != ours:
        raise UserError(
            f"--resume: the optimizer's state is of {theirs} tensors, this training has {ours}. "
            f"It goes on with the backend that it began with: {geometry}.backend=torch, triton or tcnn"
        )

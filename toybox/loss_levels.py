"""Loss weights that keep strong noise, where little can be predicted, from drowning out the middle levels."""

import torch
import torch.nn.functional as F
from torch import Tensor


class LossLevels:
    """The expected loss at each level of noise, a running mean; divided by it, all levels count the same.

    The loss that is left in strong noise is mostly unpredictable, and several times the loss that is left in the
    middle, where outlines, parts, front and back are decided: unweighted, its gradients drown theirs. The weights are
    those of the uncertainty weighting of EDM2 (arXiv:2312.02696), with a table in place of its network.

    Args:
        expected: the table to go on with; ones at first.
    """

    COUNT = 20
    MEMORY = 0.99  # of the running mean, a picture

    def __init__(self, expected: Tensor | None = None) -> None:
        self.expected = torch.ones(self.COUNT) if expected is None else expected

    def balanced(self, losses: Tensor, share: Tensor) -> Tensor:
        """The weighted mean of `losses` [batch] at timesteps of these shares in [0, 1) [batch]; learns from them."""
        level = (share * self.COUNT).long()
        met = F.one_hot(level, self.COUNT).to(losses)
        count = met.sum(dim=0)
        mean = (losses.detach() @ met / count.clamp(min=1)).cpu()
        self.expected = self.expected.lerp(mean, 1 - self.MEMORY ** count.cpu())
        weights = (self.expected.mean() / self.expected).to(losses)
        return (losses * weights[level]).mean()

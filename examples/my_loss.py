"""A loss of your own: neighbouring pixels see the object at similar depths.

python launch.py --config examples/my_loss.yaml --prompt "a red mushroom"
"""

from jaxtyping import Float
from torch import Tensor

from core.kinds import Loss, TrainingStep


class SmoothDepth(Loss, name="smooth-depth"):
    """Mean difference in depth between neighbouring pixels where both see the object, in world units."""

    needs = frozenset({"depth"})

    def forward(self, now: TrainingStep) -> Float[Tensor, ""]:
        """Down the columns and along the rows; opacity only says where the object is."""
        depth, solid = now.render.depth, now.render.opacity.detach()
        down = (depth[:, 1:] - depth[:, :-1]).abs() * solid[:, 1:] * solid[:, :-1]
        across = (depth[:, :, 1:] - depth[:, :, :-1]).abs() * solid[:, :, 1:] * solid[:, :, :-1]
        return down.mean() + across.mean()

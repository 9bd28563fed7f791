"""Views without a diffusion model: guidance that says what it was trained to see, and nothing else."""

import torch

from core.cameras import ViewBins
from core.chance import stream
from core.kinds import Guidance
from core.training_distribution import TrainingDistribution
from core.types import Cameras, ViewNeeds
from guidance.target_image import TargetImage
from systems.views.orbit import OrbitingViews

#: What a small model says of its training pictures.
TRAINED_ON = TrainingDistribution(0.5, (-45.0, 85.0), (1.4, 1.8), (42.0, 52.0), ViewBins(), {}, ())


def guidance(trained_on: TrainingDistribution | None = None, needs: ViewNeeds | None = None) -> Guidance:
    """Guidance with a training distribution and needs of views."""
    made = TargetImage(TargetImage.Config(size=4))
    made.trained_on, made.view_needs = trained_on, needs or ViewNeeds()
    return made


def drawn(views: OrbitingViews, n_steps: int = 3000, total_steps: int = 3000) -> list[Cameras]:
    """The cameras of so many training steps."""
    return [views.draw(4, step, total_steps, stream(0, "training", step)) for step in range(n_steps)]


def distance(cameras: Cameras) -> torch.Tensor:
    """Of each camera from the origin."""
    return cameras.c2w[:, :3, 3].norm(dim=-1)

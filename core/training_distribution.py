"""What a diffusion model was trained to see, where its makers say it.

Training views, view words, backgrounds and whoever judges the result must use the numbers of the training data. A small
model's folder holds them in one file; recipes take them from there. Stable Diffusion has none.
"""

from dataclasses import dataclass

from core.cameras import ViewBins


@dataclass(frozen=True)
class TrainingDistribution:
    """Cameras, view words, backgrounds and words of a model's training pictures."""

    object_radius: float
    """No object reaches beyond this ball around the origin, in world units."""
    elevation_deg: tuple[float, float]
    """Least and most elevation of the training cameras."""
    radius: tuple[float, float]
    """Least and most distance of the training cameras from the origin."""
    fovy_deg: tuple[float, float]
    """Least and most vertical field of view."""
    view_bins: ViewBins
    """Where the words for views begin and end."""
    backgrounds: dict[str, tuple[float, float, float]]
    """Flat colours behind the objects, by name, RGB in [0, 1]."""
    vocabulary: tuple[str, ...]
    """Every word of the training texts."""

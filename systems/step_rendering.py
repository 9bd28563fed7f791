"""What one training step renders, where guidance and losses do not look at the same pictures."""

from dataclasses import dataclass

from core.types import Cameras, RenderOutput


@dataclass(frozen=True)
class StepRendering:
    """What one training step renders."""

    whole: RenderOutput
    """Whole pictures, for the guidance; a part of them may come without gradient."""
    fine: RenderOutput
    """What was rendered with gradient, for the losses: often the same."""
    cameras: Cameras
    """Of what was rendered with gradient."""

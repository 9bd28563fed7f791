"""What each kind of part promises; its docstring says what a part's constructor takes beside the Config.

Plain abstract classes, no Lightning. A part's `forward` is a function of its arguments: what changes over time is given
(`step`), and so is chance (`rng`). Parts store no device; their tensors are born on their input's device. A part that
does not fit its neighbours raises a UserError from its constructor.
"""

from core.kinds.guidance import Guidance, Views
from core.kinds.scene import (
    Background,
    DensityField,
    Encode,
    Extra,
    FirstLook,
    Geometry,
    Renderer,
    TexturedSurface,
    device_of,
    trained_groups,
)
from core.kinds.training import Exporter, Loss, System, TrainerConfig, TrainingStep

__all__ = [
    "Background",
    "DensityField",
    "Encode",
    "Exporter",
    "Extra",
    "FirstLook",
    "Geometry",
    "Guidance",
    "Loss",
    "Renderer",
    "System",
    "TexturedSurface",
    "TrainerConfig",
    "TrainingStep",
    "Views",
    "device_of",
    "trained_groups",
]

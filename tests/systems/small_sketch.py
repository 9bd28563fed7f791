"""A Sketch-Shape small enough to be trained in a test: its sketch is a brick, its pictures are of a ball."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
import trimesh

from core.part import Choice
from core.schedule import Schedule
from guidance.target_image import TargetImage
from systems.losses.sketch_shape import SketchShapeLoss
from systems.sketch_shape import SketchShape
from tests.systems.small_systems import ball_pictures, small_config

#: Half of the brick's sides.
HALF = torch.tensor([0.42, 0.2, 0.2])
#: How a sketch follows the brick where it stands.
STRICT: dict[str, Any] = {"center": "none", "scale": "none", "lenience": 0.05}


def write_brick(path: Path) -> Path:
    """The brick around the origin."""
    trimesh.creation.box(extents=2 * HALF.numpy()).export(path)
    return path


def sketch_system(losses: dict[str, Any], guidance: Choice, total_steps: int = 6, **parts: Any) -> SketchShape:
    """A small system with these losses alone."""
    small = small_config(guidance)
    settings = {field.name: getattr(small, field.name) for field in dataclasses.fields(small)}
    config = SketchShape.Config(**{**settings, **parts, "losses": losses})
    return SketchShape(config, "a brick", seed=0, total_steps=total_steps)


def fitting_sketch(
    brick: Path, total_steps: int = 6, sds: float = 0.0, more: dict[str, Any] | None = None, **sketch: Any
) -> SketchShape:
    """Guided by its sketch, and by pictures of a ball as far as `sds` says."""
    shape = Choice.of(SketchShapeLoss, **{**STRICT, "weight": Schedule.constant(1.0), "path": brick, **sketch})
    losses = {"sds": Schedule.constant(sds), "sketch": shape, **(more or {})}
    system = sketch_system(losses, Choice.of(TargetImage, size=16), total_steps)
    assert isinstance(system.guidance, TargetImage)
    system.guidance.set_target(ball_pictures)
    return system

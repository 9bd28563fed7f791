"""One training step of a small system, as its losses see it."""

from dataclasses import replace

import torch
from torch import Tensor

from core.cameras import orbit_cameras
from core.chance import stream
from core.kinds import TrainingStep
from core.types import Cameras
from systems.base import LightningSystem


def step_of(
    system: LightningSystem, step: int = 0, cameras: Cameras | None = None, with_normals: bool = False
) -> TrainingStep:
    """A step of a system that is set up: its own views rendered, or others."""
    rng = stream(system.seed, "training", step)
    if cameras is None:
        cameras = system.views.draw(system.guidance.latent_size, step, system.total_steps, rng)
    render = system.renderer(system.geometry, system.background, cameras, rng, with_normals)
    return TrainingStep(render, cameras, system.geometry, system.renderer, step, system.total_steps, rng)


def with_free_density(now: TrainingStep) -> tuple[TrainingStep, Tensor]:
    """The same step, and its samples' density, by which a loss can be differentiated."""
    samples = now.render.samples
    assert samples is not None
    density = samples.density.detach().requires_grad_()
    return replace(now, render=replace(now.render, samples=replace(samples, density=density))), density


def cameras_at(elevation_deg: list[float], size: int = 8) -> Cameras:
    """Cameras at these elevations, all from the side."""
    same = torch.ones(len(elevation_deg))
    return orbit_cameras(torch.tensor(elevation_deg), 90 * same, 1.5 * same, 45 * same, size, size)

"""A Latent-NeRF small enough to be trained in a test, and a Trainer that says and writes nothing by itself."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.pytorch.utilities import disable_possible_user_warnings
from torch import Tensor

from core.cameras import camera_rays
from core.part import Choice
from core.schedule import Schedule
from core.types import Cameras
from geometry.latent_field import HashGridField
from guidance.latent_sds import LatentSDS
from guidance.target_image import TargetImage
from renderers.backgrounds import RandomColor, SolidColor
from renderers.volume import VolumeRenderer
from systems.checkpoint_files import CheckpointFiles
from systems.latent_nerf import LatentNeRF
from systems.losses.opacity_entropy import OpacityEntropy
from systems.optimizer import AdamSettings
from systems.views.orbit import Orbit

BALL_RADIUS = 0.4
#: Where training cameras stand.
RANGES: dict[str, Any] = {"elevation_deg": (-30.0, 60.0), "radius": (1.5, 1.5), "fovy_deg": (45.0, 45.0)}


def small_config(guidance: Choice, **changes: Any) -> LatentNeRF.Config:
    """Settings of a small system around some guidance."""
    settings: dict[str, Any] = {
        "geometry": Choice.of(
            HashGridField,
            n_levels=3,
            base_resolution=4,
            finest_resolution=16,
            log2_table_size=12,
            hidden_width=16,
            bound=0.6,
            blob_radius=0.25,
            grid_learning_rate=0.05,
            mlp_learning_rate=0.02,
        ),
        "background": Choice.of(RandomColor),
        "renderer": Choice.of(
            VolumeRenderer,
            samples_per_ray=24,
            occupancy_resolution=16,
            occupancy_warmup_steps=2,
            occupancy_refresh_every=2,
        ),
        "guidance": guidance,
        "views": Choice.of(Orbit, **RANGES, n_views=2),
        "losses": {"sparsity": Choice.of(OpacityEntropy, weight=Schedule.constant(0.01))},
        "optimizer": AdamSettings(rate=Schedule.ramp(1.0, 0.1)),
    }
    return LatentNeRF.Config(**{**settings, **changes})


def distilling_system(model: Path, total_steps: int = 6, **changes: Any) -> LatentNeRF:
    """Guided by a (tiny, random) diffusion model."""
    config = small_config(Choice.of(LatentSDS, model=str(model)), **changes)
    return LatentNeRF(config, "a red mushroom", seed=0, total_steps=total_steps)


def fitting_system(total_steps: int, size: int = 16, **changes: Any) -> LatentNeRF:
    """Guided by exact pictures of a ball, red above and green below, before white."""
    config = small_config(
        Choice.of(TargetImage, size=size), **{"background": Choice.of(SolidColor, color=(1.0, 1.0, 1.0)), **changes}
    )
    system = LatentNeRF(config, "a ball", seed=0, total_steps=total_steps)
    assert isinstance(system.guidance, TargetImage)
    system.guidance.set_target(ball_pictures)
    return system


def ball_pictures(cameras: Cameras) -> Tensor:
    """The ball by the quadratic equation of its rays, 4 x 4 rays a pixel: red where y > 0, green elsewhere."""
    fine = camera_rays(cameras.resized(4 * cameras.height, 4 * cameras.width))
    along = -(fine.origins * fine.directions).sum(dim=-1)
    miss = fine.origins.square().sum(dim=-1) - along.square()
    half = (BALL_RADIUS**2 - miss).clamp_min(0).sqrt()
    y = fine.origins[..., 1] + (along - half) * fine.directions[..., 1]
    red, green = torch.tensor([1.0, -1.0, -1.0]), torch.tensor([-1.0, 1.0, -1.0])
    colour = torch.where((y > 0)[..., None], red, green)
    picture = torch.where((half > 0)[..., None], colour, torch.ones(3))
    views, height, width = len(cameras), cameras.height, cameras.width
    return picture.view(views, height, 4, width, 4, 3).mean(dim=(2, 4))


def quiet_trainer(
    max_steps: int, callbacks: Sequence[Callback] = (), precision: Any = "32-true", plugins: Sequence[Any] = ()
) -> Trainer:
    """Lightning with everything optional turned off, on the CPU."""
    disable_possible_user_warnings()
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    return Trainer(
        accelerator="cpu",
        precision=precision,
        max_steps=max_steps,
        max_epochs=-1,
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[CheckpointFiles(), *plugins],
        num_sanity_val_steps=0,
    )

"""Outlines of a mesh, learnt with the bundled model: they hold in views and colours that it was not learnt from."""

from pathlib import Path

import torch
from torch import Generator
from torch.nn import functional as F

from core.part import Choice
from guidance.latent_sds import LatentSDS
from renderers.mesh import MeshRenderer
from systems.latent_paint import LatentPaint
from tests.systems.small_paint import paint_config, write_ball


def test_outlines_are_what_the_autoencoder_makes_of_such_pictures(tmp_path: Path):
    """A ball of one colour before another, encoded as a picture, against the two latents put together."""
    guidance = Choice.of(LatentSDS, model="toybox", precision="float32")
    path = write_ball(tmp_path / "ball.ply")
    config = paint_config(path, guidance, renderer=Choice.of(MeshRenderer, outline="encoded"))
    system = LatentPaint(config, "a red ball", 0, 10)
    system.set_up()
    assert isinstance(system.renderer, MeshRenderer)
    outline, see = system.renderer.outline, system.renderer.pool.rasterize
    assert outline is not None
    cameras = system.validation_cameras(6, system.guidance.latent_size)
    hit = see(cameras.resized(2 * cameras.height, 2 * cameras.width)).mask
    size = system.guidance.picture_size
    fine = see(cameras.resized(4 * size, 4 * size)).mask
    covered = F.avg_pool2d(fine[:, None].float(), 4)[:, 0, ..., None]
    ball, behind = torch.rand(2, len(cameras), 1, 1, 3, generator=Generator().manual_seed(5)).expand(
        -1, -1, size, size, -1
    )
    pictures = ball, behind, covered * ball + (1 - covered) * behind
    objects, backgrounds, wanted = (system.guidance.encode(picture.contiguous()) for picture in pictures)
    opacity = F.avg_pool2d(hit[:, None].float(), 2)[:, 0]
    foreground = objects * opacity[..., None]
    mixed = foreground + (1 - opacity[..., None]) * backgrounds
    corrected = mixed + outline(foreground, opacity, backgrounds, hit)
    left, before = ((latents - wanted).square().sum() for latents in (corrected, mixed))
    assert float(left) < 0.4 * float(before)

"""The benchmark of texture encoding: its meshes are the canonical ones in their colours."""

from pathlib import Path

import torch

from benchmarks.canonical import canonical_views
from benchmarks.texture_encoding import coloured_mesh
from benchmarks.verdicts import judged_cameras
from core.part import Choice
from geometry.placement import Placement
from geometry.textured_mesh import TexturedMesh
from guidance.target_image import TargetImage
from renderers.backgrounds import SolidColor
from renderers.mesh import MeshRenderer
from systems.first_look import first_look_pictures
from systems.latent_paint import LatentPaint
from toybox.captions import Subject
from toybox.scenes import build


def test_the_meshs_own_texture_shows_each_parts_colour(tmp_path: Path):
    subject = Subject("car", "red")
    config = LatentPaint.Config(
        geometry=Choice.of(
            TexturedMesh,
            path=coloured_mesh(subject, tmp_path / "car.glb"),
            placement=Placement(scale="none"),
            start="own-texture",
        ),
        background=Choice.of(SolidColor),
        renderer=Choice.of(MeshRenderer),
        guidance=Choice.of(TargetImage, size=16),
    )
    cameras = judged_cameras(48)
    surface = LatentPaint(config, "", 0, 1).geometry
    assert isinstance(surface, TexturedMesh)
    look = surface.first_look()
    assert look is not None
    shown = first_look_pictures(surface, look, config.renderer, cameras)
    _, parts = canonical_views(subject, cameras)
    colours = torch.from_numpy(build("car").part_colours("red", None))
    inner = (parts >= 0) & (torch.nn.functional.max_pool2d(-parts[:, None].float(), 3, 1, 1)[:, 0] == -parts)
    inner &= torch.nn.functional.max_pool2d(parts[:, None].float(), 3, 1, 1)[:, 0] == parts
    assert float(inner.float().mean()) > 0.05
    torch.testing.assert_close(shown[inner], colours[parts[inner]], atol=2e-2, rtol=0)

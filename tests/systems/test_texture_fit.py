"""Textures from pictures: what was painted comes back."""

from pathlib import Path

import torch

from core.chance import stream
from geometry.textured_mesh import TexturedMesh
from systems.texture_fit import fitted_texture
from tests.systems.small_paint import fitting_paint, write_ball


def test_a_texture_is_found_again_from_its_views(tmp_path: Path):
    """Of a smooth texture; other views than those it was fitted to look alike."""
    system = fitting_paint(write_ball(tmp_path / "ball.ply"), 3)
    surface = system.geometry
    assert isinstance(surface, TexturedMesh)
    wave = torch.linspace(0, 6.0, 32)
    surface.restart(
        torch.stack([wave.sin().expand(32, 32), wave.cos()[:, None].expand(32, 32), torch.zeros(32, 32)], -1)
    )
    system.set_up()
    cameras = system.surrounding_cameras(16, 32)
    pictures = system.render(cameras).latents
    texture, error = fitted_texture(surface, system.renderer, cameras, pictures, 32)
    assert error < 0.05
    others = system.validation_cameras(5, 32)
    wanted = system.render(others)
    surface.restart(texture)
    inside = (wanted.opacity > 0.999)[..., None]
    miss = (system.render(others).latents - wanted.latents) * inside
    assert float(miss.abs().sum() / inside.sum() / 3) < 0.04


def test_what_is_beside_the_object_is_left_out(tmp_path: Path):
    """Pictures that are blue on the object and anything beside it give a blue texture, seen or not."""
    system = fitting_paint(write_ball(tmp_path / "ball.ply"), 3)
    surface = system.geometry
    assert isinstance(surface, TexturedMesh)
    system.set_up()
    cameras = system.surrounding_cameras(6, 16)
    opacity = system.render(cameras).opacity[..., None]
    noise = torch.randn(*opacity.shape[:3], 3, generator=stream(0, "noise", 0))
    blue = torch.tensor([-1.0, -1.0, 1.0])
    pictures = torch.where(opacity > 0.999, blue, noise)
    texture, error = fitted_texture(surface, system.renderer, cameras, pictures, 16)
    assert error < 0.02
    torch.testing.assert_close(texture, blue.expand(16, 16, 3), atol=0.05, rtol=0)

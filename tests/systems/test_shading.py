"""Lambertian light, by hand."""

import math

import pytest
import torch

from core.errors import UserError
from core.types import RenderOutput
from systems.shading import Light, Shading, shade


def render(normal: tuple[float, float, float] | None, opacity: float = 0.5) -> RenderOutput:
    one = torch.full((1, 1, 1), opacity)
    colour = opacity * torch.tensor([[[[0.8, 0.4, 0.2]]]])
    normals = None if normal is None else opacity * torch.tensor([[[list(normal)]]])
    return RenderOutput(colour, one, one, normals, colour, None)


@pytest.mark.parametrize(("angle_deg", "brightness"), [(0, 1.0), (60, 0.3 + 0.7 * 0.5), (90, 0.3), (150, 0.3)])
def test_brightness_falls_with_the_angle(angle_deg: float, brightness: float):
    turn = math.radians(angle_deg)
    light = Light(torch.tensor([[math.sin(turn), 0.0, math.cos(turn)]]), torch.tensor([0.3]))
    seen = render((0.0, 0.0, 1.0))
    torch.testing.assert_close(shade(seen, light), brightness * seen.foreground)


def test_without_light_colours_are_as_they_are():
    seen = render((0.0, 1.0, 0.0))
    assert torch.equal(shade(seen, None), seen.foreground)
    unlit = Light(torch.tensor([[0.0, -1.0, 0.0]]), torch.tensor([1.0]))
    torch.testing.assert_close(shade(seen, unlit), seen.foreground)


def test_light_without_normals_is_a_mistake():
    with pytest.raises(ValueError, match="with_normals"):
        shade(render(None), Light(torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([0.5])))


def test_the_share_of_lit_views_is_kept():
    light = Shading(share=0.25, ambient=0.4).light(4000, torch.Generator().manual_seed(0))
    assert float((light.ambient < 1).float().mean()) == pytest.approx(0.25, abs=0.03)
    torch.testing.assert_close(light.toward.norm(dim=-1), torch.ones(4000))
    assert float(light.toward.mean(dim=0).norm()) < 0.05


@pytest.mark.parametrize("settings", [{"share": 1.5}, {"ambient": -0.1}])
def test_nonsense_is_refused(settings: dict):
    with pytest.raises(UserError, match="from 0 to 1"):
        Shading(**settings)

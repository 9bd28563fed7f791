"""What a painting begins with."""

from pathlib import Path

import torch
import trimesh
from torch.nn import functional as F

from systems.first_look import AMBIENT, LIGHT
from systems.latent_paint import LatentPaint
from tests.systems.small_paint import ORBIT, fitting_paint, texture_at

FACES = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


def _colours(system: LatentPaint) -> torch.Tensor:
    """Of the cube's sides, RGB."""
    return system.guidance.decode(texture_at(system, 0.3 * FACES)[None, None])[0, 0]


def test_a_lit_start_shows_each_side_of_a_cube_as_light_falls_on_it(tmp_path: Path):
    """Lambert's law, face by face: the sides that the light does not reach have the ambient brightness."""
    trimesh.creation.box((2.0, 2.0, 2.0)).subdivide().subdivide().export(tmp_path / "cube.ply")
    start = {"start": "lit", "start_color": (0.8, 0.4, 0.2)}
    system = fitting_paint(tmp_path / "cube.ply", 1, size=64, geometry=start, views=ORBIT)
    system.set_up()
    cosine = (FACES @ F.normalize(torch.tensor(LIGHT), dim=0)).clamp_min(0)
    expected = torch.tensor([0.8, 0.4, 0.2]) * (AMBIENT + (1 - AMBIENT) * cosine)[:, None]
    assert len(set(expected[:, 0].tolist())) == 4, "the cube's sides must be told apart"
    torch.testing.assert_close(_colours(system), expected, atol=0.03, rtol=0)


def test_a_start_of_one_colour_shows_no_sides(tmp_path: Path):
    trimesh.creation.box((2.0, 2.0, 2.0)).export(tmp_path / "cube.ply")
    system = fitting_paint(tmp_path / "cube.ply", 1, geometry={"start_color": (0.8, 0.4, 0.2)}, views=ORBIT)
    system.set_up()
    expected = torch.tensor([0.8, 0.4, 0.2]).expand(len(FACES), 3)
    torch.testing.assert_close(_colours(system), expected, atol=1e-3, rtol=0)

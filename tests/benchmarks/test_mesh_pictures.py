"""Pictures of files whose looks are known."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from benchmarks.mesh_pictures import MeshFile
from core.cameras import orbit_cameras
from core.types import Cameras


def _front(size: int) -> Cameras:
    one = torch.ones(1)
    return orbit_cameras(0 * one, 0 * one, 2 * one, 2 * torch.atan(one / 2).rad2deg(), size, size)


def _square(path: Path) -> Path:
    """A square of side 1 in the plane z = 0, facing +z; its texture is four fields, made by trimesh alone."""
    vertices = np.array([[-0.5, -0.5, 0], [0.5, -0.5, 0], [0.5, 0.5, 0], [-0.5, 0.5, 0]])
    texture = np.zeros((64, 64, 3), np.uint8)
    texture[:32, :32], texture[:32, 32:] = (250, 0, 0), (0, 250, 0)
    texture[32:, :32], texture[32:, 32:] = (0, 0, 250), (250, 250, 0)
    visual = TextureVisuals(
        uv=vertices[:, :2] + 0.5,
        material=PBRMaterial(baseColorTexture=Image.fromarray(texture)),
    )
    trimesh.Trimesh(vertices, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False).export(path)
    return path


def test_a_square_fills_the_middle_with_its_four_fields(tmp_path: Path) -> None:
    # At distance 2 the picture is 2 wide: the square takes the middle half of rows and columns.
    pictures = MeshFile(_square(tmp_path / "square.glb")).pictures(_front(32))
    expected = np.zeros((32, 32), bool)
    expected[8:24, 8:24] = True
    assert np.array_equal(pictures.mask[0], expected)
    colours = pictures.colours[0]
    for row, column, wanted in (
        (10, 10, (250, 0, 0)),
        (10, 22, (0, 250, 0)),
        (22, 10, (0, 0, 250)),
        (22, 22, (250, 250, 0)),
    ):
        assert colours[row, column] * 255 == pytest.approx(wanted, abs=0.5)
    assert (pictures.colours[~pictures.mask] == 0).all()


def test_colours_of_vertices_are_interpolated(tmp_path: Path) -> None:
    vertices = np.array([[-1.0, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]])
    grey = np.array([0, 200, 200, 0], np.uint8)
    colours = np.stack([grey, grey, grey, np.full(4, 255, np.uint8)], axis=1)
    mesh = trimesh.Trimesh(vertices, [[0, 1, 2], [0, 2, 3]], vertex_colors=colours, process=False)
    mesh.export(tmp_path / "ramp.ply")
    pictures = MeshFile(tmp_path / "ramp.ply").pictures(_front(16))
    across = (np.arange(16) + 0.5) / 16 * 200 / 255
    assert pictures.colours[0, ..., 1] == pytest.approx(np.tile(across, (16, 1)), abs=1e-5)

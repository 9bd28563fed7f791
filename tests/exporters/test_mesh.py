"""From a trained field to mesh.glb."""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from core.errors import UserError
from core.types import FieldOutput
from exporters.mesh import MeshExporter, coloured_mesh, vertex_normals
from tests.systems.small_systems import fitting_system

SMALL = MeshExporter.Config(resolution=32, n_silhouettes=4, n_photographs=8)


def _ball_system(radius: float = 0.4) -> Any:
    """A system whose field is, in closed form, a ball: red above, green below."""
    system: Any = fitting_system(1, size=32)
    system.prepare()

    def field(positions: torch.Tensor) -> FieldOutput:
        distance = positions.norm(dim=-1)
        colour = torch.where(positions[:, 1:2] > 0, torch.tensor([1.0, -1, -1]), torch.tensor([-1.0, 1, -1]))
        return FieldOutput(200 * torch.sigmoid((radius - distance) * 400), colour)

    system.geometry.forward = field
    system.geometry.density = lambda positions: field(positions).density
    return system


def test_a_ball_keeps_its_size_its_colours_and_its_way_up():
    mesh = coloured_mesh(_ball_system(), SMALL)
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=False)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.15)
    above, below = mesh.vertices[:, 1] > 0.12, mesh.vertices[:, 1] < -0.12
    assert mesh.colours[above].mean(axis=0) == pytest.approx([1, 0, 0], abs=0.1)
    assert mesh.colours[below].mean(axis=0) == pytest.approx([0, 1, 0], abs=0.1)
    outward = (mesh.normals * mesh.vertices).sum(axis=-1) / np.linalg.norm(mesh.vertices, axis=-1)
    assert outward.min() > 0.9


def test_the_file_remembers_where_it_comes_from(tmp_path: Path):
    (path,) = MeshExporter(SMALL).export(_ball_system(), tmp_path)
    content = path.read_bytes()
    (n_text,) = struct.unpack_from("<I", content, 12)
    extras = json.loads(content[20 : 20 + n_text])["asset"]["extras"]
    assert (extras["prompt"], extras["seed"]) == ("a ball", 0)
    assert extras["system"]["type"] == "latent-nerf"
    assert extras["system"]["geometry"]["n_levels"] == 3
    assert MeshExporter(SMALL).export(_ball_system(), tmp_path)[0].read_bytes() == content


def test_an_empty_field_is_an_error_that_gives_its_density(tmp_path: Path):
    system = _ball_system()
    nothing = lambda positions: FieldOutput(positions[:, 0] * 0, positions)  # noqa: E731 - two lines of def say less
    system.geometry.forward = nothing
    system.geometry.density = lambda positions: nothing(positions).density
    with pytest.raises(UserError, match=r"the field is empty: .*density lies between 0 and 0"):
        MeshExporter(SMALL).export(system, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_normals_of_a_cube_by_hand():
    cube = trimesh.creation.box((1, 1, 1))
    normals = vertex_normals(np.asarray(cube.vertices, np.float32), np.asarray(cube.faces))
    # Every corner points along its diagonal where each side has the same share of area; triangulation may tilt it.
    assert ((normals * np.sign(cube.vertices)) > 0).all()
    assert np.linalg.norm(normals, axis=-1) == pytest.approx(np.ones(8), abs=1e-6)


def test_a_vertex_without_area_gets_a_unit_normal():
    point = np.zeros((3, 3), np.float32)
    assert vertex_normals(point, np.array([[0, 1, 2]])).tolist() == [[0, 1, 0]] * 3


@pytest.mark.parametrize("settings", [{"resolution": 4}, {"n_silhouettes": 0}, {"n_photographs": 0}])
def test_settings_out_of_range(settings: dict[str, int]):
    with pytest.raises(UserError, match="at least"):
        MeshExporter.Config(**settings)

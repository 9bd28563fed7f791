"""From a trained field to mesh.glb."""

import dataclasses
import math
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh

from core.cameras import orbit_cameras
from core.errors import UserError
from core.types import FieldOutput
from exporters.mesh import MeshExporter, coloured_mesh, silhouette_iou, silhouettes
from exporters.phases import Phases, read_record
from geometry.gltf_container import parsed
from geometry.mesh import Mesh
from tests.artefacts import keep
from tests.systems.small_systems import fitting_system

SMALL = MeshExporter.Config(resolution=32, n_silhouettes=4, n_photographs=8, texture_size=128)


def ball_system(radius: float = 0.4) -> Any:
    """A system whose field is, in closed form, a ball: red above, green below."""
    system: Any = fitting_system(1, size=32)
    system.set_up()

    def field(positions: torch.Tensor) -> FieldOutput:
        distance = positions.norm(dim=-1)
        colour = torch.where(positions[:, 1:2] > 0, torch.tensor([1.0, -1, -1]), torch.tensor([-1.0, 1, -1]))
        return FieldOutput(200 * torch.sigmoid((radius - distance) * 400), colour)

    system.geometry.forward = field
    system.geometry.density = lambda positions: field(positions).density
    return system


def _colours_of(mesh: Mesh) -> np.ndarray:
    """At the vertices, from the texture's nearest texel where it has one."""
    if mesh.colours is not None:
        return mesh.colours
    assert mesh.uv is not None
    assert mesh.texture is not None
    rows, columns, _ = mesh.texture.shape
    return mesh.texture[((1 - mesh.uv[:, 1]) * rows).astype(int), (mesh.uv[:, 0] * columns).astype(int)] / 255


@pytest.mark.parametrize("asks_the_field", [True, False])
@pytest.mark.parametrize("colours", ["texture", "vertices"])
def test_a_ball_keeps_its_size_its_colours_and_its_way_up(colours: str, asks_the_field: bool):
    system = ball_system()
    system.guidance.decodes_pixelwise = asks_the_field
    mesh, figures = coloured_mesh(system, dataclasses.replace(SMALL, colours=colours), Phases("mesh"))
    solid = trimesh.Trimesh(mesh.vertices, mesh.faces, process=True, merge_tex=True, merge_norm=True)
    assert solid.is_watertight
    assert solid.volume == pytest.approx(4 / 3 * np.pi * 0.4**3, rel=0.15)
    shown = _colours_of(mesh)
    above, below = mesh.vertices[:, 1] > 0.12, mesh.vertices[:, 1] < -0.12
    assert shown[above].mean(axis=0) == pytest.approx([1, 0, 0], abs=0.1)
    assert shown[below].mean(axis=0) == pytest.approx([0, 1, 0], abs=0.1)
    assert mesh.normals is not None
    outward = (mesh.normals * mesh.vertices).sum(axis=-1) / np.linalg.norm(mesh.vertices, axis=-1)
    assert outward.min() > 0.9
    assert (figures["components"], figures["watertight"], figures["faces"]) == (1, True, len(mesh.faces))
    assert figures["silhouette_iou"] > 0.9
    assert ("seam_ratio" in figures) == (colours == "texture")


def test_the_budget_of_faces_holds():
    config = dataclasses.replace(SMALL, n_faces=300, colours="vertices")
    mesh, figures = coloured_mesh(ball_system(), config, Phases("mesh"))
    assert 200 < len(mesh.faces) <= 300 < figures["faces_before_simplification"]
    assert figures["watertight"]
    assert np.linalg.norm(mesh.vertices, axis=1) == pytest.approx(np.full(len(mesh.vertices), 0.4), abs=0.03)


def test_a_fog_is_told(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("exporters.mesh.silhouette_iou", lambda *_: 0.3)
    coloured_mesh(ball_system(), dataclasses.replace(SMALL, colours="vertices"), Phases("mesh"))
    assert "silhouettes agree with the rendered ones by 0.30 only" in caplog.text


def test_a_file_says_where_it_comes_from_only_if_asked_and_then_nothing_private(tmp_path: Path):
    (path,) = MeshExporter(SMALL).export(ball_system(), tmp_path)
    content = keep(path, "ball.glb").read_bytes()
    assert "extras" not in parsed(content, path).tree["asset"]
    assert MeshExporter(SMALL).export(ball_system(), tmp_path)[0].read_bytes() == content
    (path,) = MeshExporter(dataclasses.replace(SMALL, provenance=True)).export(ball_system(), tmp_path)
    extras = parsed(path.read_bytes(), path).tree["asset"]["extras"]
    assert extras.keys() == {"prompt", "versions"}
    assert extras["prompt"] == "a ball"
    assert extras["versions"]["torch"] == version("torch")


def test_figures_and_seconds_are_kept(tmp_path: Path):
    MeshExporter(SMALL).export(ball_system(), tmp_path)
    record = read_record(tmp_path)["mesh"]
    assert record["figures"]["file"] == "mesh.glb"
    assert record["figures"]["watertight"] is True
    assert set(record["seconds"]) == {"surface", "simplify", "unwrap", "bake", "write"}


@pytest.mark.parametrize(("wanted", "names"), [("obj", {"mesh.obj", "mesh.mtl", "mesh.png"}), ("ply", {"mesh.ply"})])
def test_other_formats(wanted: str, names: set[str], tmp_path: Path):
    config = dataclasses.replace(SMALL, format=wanted)
    assert {path.name for path in MeshExporter(config).export(ball_system(), tmp_path)} == names
    assert {path.name for path in tmp_path.iterdir()} == {*names, "export.json"}


def test_an_empty_field_is_an_error_that_gives_its_density(tmp_path: Path):
    system = ball_system()
    nothing = lambda positions: FieldOutput(positions[:, 0] * 0, positions)  # noqa: E731 - two lines of def say less
    system.geometry.forward = nothing
    system.geometry.density = lambda positions: nothing(positions).density
    with pytest.raises(UserError, match=r"the field is empty: .*density lies between 0 and 0"):
        MeshExporter(SMALL).export(system, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_ball_covers_its_disc() -> None:
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.4)
    ones = torch.ones(2)
    cameras = orbit_cameras(20 * ones, torch.tensor([0.0, 70.0]), 1.6 * ones, 47 * ones, 64, 64)
    seen = silhouettes(Mesh(np.asarray(ball.vertices), np.asarray(ball.faces)), cameras)
    disc = 0.4 / math.sqrt(1.6**2 - 0.4**2) / math.tan(math.radians(47) / 2)  # pictures go from -1 to 1
    assert seen.mean(axis=(1, 2)) == pytest.approx([math.pi * disc**2 / 4] * 2, rel=0.02)


def test_agreement_by_hand() -> None:
    mesh = np.array([[[True, True, False, False]]])
    assert silhouette_iou(mesh, torch.tensor([[[0.9, 0.4, 0.6, 0.0]]])) == pytest.approx(1 / 3)
    assert silhouette_iou(mesh & False, torch.zeros(1, 1, 4)) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 4}, "resolution: at least 8 or null, got 4"),
        ({"texture_size": 2}, "texture_size: at least 16 or null, got 2"),
        ({"n_silhouettes": 0}, "n_silhouettes: at least 1, got 0"),
        ({"n_photographs": 0}, "n_photographs: at least 1, got 0"),
        ({"n_faces": 10}, "n_faces: at least 100, got 10"),
        ({"unwrap_limit_s": 0.0}, "unwrap_limit_s: above 0, below a million, got 0"),
        ({"format": "ply", "colours": "texture"}, "colours: PLY files hold no texture"),
    ],
)
def test_settings_out_of_range(settings: dict[str, Any], message: str):
    with pytest.raises(UserError, match=message):
        MeshExporter.Config(**settings)


@pytest.mark.parametrize("frame", ["input", "field"])
def test_a_shape_that_follows_a_file_is_written_where_that_lies(frame: Any, tmp_path: Path):
    """A sketch of twice the size, 30 to the right, that was turned and scaled to be followed."""
    system = ball_system()
    system.to_input = np.array([[0, 0, 2.0, 30], [0, 2.0, 0, 0], [-2.0, 0, 0, 1], [0, 0, 0, 1]])
    config = dataclasses.replace(SMALL, colours="vertices", frame=frame)
    MeshExporter(config).export(system, tmp_path)
    figures = read_record(tmp_path)["mesh"]["figures"]
    written: Any = trimesh.load_scene(tmp_path / "mesh.glb").to_geometry()
    middle, radius = written.bounds.mean(axis=0), np.ptp(written.bounds, axis=0) / 2
    assert figures["frame"] == frame
    if frame == "input":
        np.testing.assert_allclose(middle, [30, 0, 1], atol=0.05)
        np.testing.assert_allclose(radius, 0.8, atol=0.05)
        assert figures["field_to_file"] == system.to_input.tolist()
    else:
        np.testing.assert_allclose(radius, 0.4, atol=0.03)
        assert "field_to_file" not in figures

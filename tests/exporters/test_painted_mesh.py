"""The painted mesh: the user's arrays come back as they were, in the same format and across formats."""

import json
import logging
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from app.building import build_exporters
from core.errors import UserError
from core.part import Choice
from exporters.painted_mesh import PaintedMesh
from geometry.gltf_container import container, parsed
from geometry.textured_mesh import TexturedMesh
from geometry.uv_check import uv_fault
from systems.latent_paint import LatentPaint
from tests.geometry.small_meshes import one_glb
from tests.geometry.test_uv_check import grid
from tests.systems.small_paint import fitting_paint, write_ball
from tests.systems.small_systems import fitting_system, quiet_trainer


def bent_sheet() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, texture coordinates and faces of a sheet with numbers that are lost by any detour."""
    corners, uv = grid(4)
    rng = np.random.default_rng(0)
    points, number = np.unique(corners.reshape(-1, 3), axis=0, return_inverse=True)
    places = np.empty((len(points), 2))
    places[number.reshape(-1)] = uv.reshape(-1, 2)
    places += rng.uniform(-1e-3, 1e-3, places.shape)
    places[places < 0.06] = 1e-17
    points[:, 2] = rng.uniform(0, 0.3, len(points))
    return points.astype("<f4") * np.float32(7.7), places.astype("<f4"), number.reshape(-1, 3)[:, [0, 2, 1]]


def write_sheet(path: Path) -> Path:
    positions, uv, faces = bent_sheet()
    if path.suffix == ".glb":
        return one_glb(path, own=(positions, uv, faces))
    if path.suffix == ".obj":
        lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in positions.tolist()]
        lines += [f"vt {u:.9g} {v:.9g}" for u, v in uv.tolist()]
        lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in face) for face in faces.tolist()]
        path.write_text("\n".join(lines) + "\n")
        return path
    names = ("x", "y", "z", "s", "t")
    vertices = np.concatenate([positions, uv], axis=1)
    header = ["ply", "format ascii 1.0", f"element vertex {len(vertices)}", *(f"property float {n}" for n in names)]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    rows = [" ".join(f"{x:.9g}" for x in row) for row in vertices.tolist()]
    rows += ["3 " + " ".join(str(i) for i in face) for face in faces.tolist()]
    path.write_text("\n".join([*header, *rows]) + "\n")
    return path


def exported(path: Path, folder: Path, **settings: Any) -> Path:
    """The mesh after painting that has not begun."""
    folder.mkdir()
    system = fitting_paint(path, 3)
    system.set_up()
    return Choice.of(PaintedMesh, texture_size=64, n_photographs=4, **settings).build().export(system, folder)[0]


def arrays(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, texture coordinates and faces as trimesh reads them."""
    mesh: Any = trimesh.load(path, process=False, force="mesh")
    return np.asarray(mesh.vertices, np.float32), np.asarray(mesh.visual.uv, np.float32), np.asarray(mesh.faces)


def raw_glb(path: Path) -> dict[str, np.ndarray]:
    """Position, texture coordinates and indices as the bytes say."""
    content = path.read_bytes()
    size = struct.unpack_from("<I", content, 12)[0]
    tree, binary = json.loads(content[20 : 20 + size]), content[28 + size :]
    primitive = tree["meshes"][0]["primitives"][0]
    found = {}
    for name, index in {**primitive["attributes"], "indices": primitive["indices"]}.items():
        accessor = tree["accessors"][index]
        view = tree["bufferViews"][accessor["bufferView"]]
        kind = {5126: "<f4", 5125: "<u4"}[accessor["componentType"]]
        begin = view["byteOffset"]
        found[name] = np.frombuffer(binary[begin : begin + view["byteLength"]], kind)
    return found


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".glb"])
def test_the_same_format_brings_equal_arrays(tmp_path: Path, suffix: str):
    path = write_sheet(tmp_path / f"sheet{suffix}")
    made = exported(path, tmp_path / "run")
    assert made.name == f"mesh{suffix}"
    reference: Any = trimesh.load(path, process=False, force="mesh")
    vertices, uv, faces = arrays(made)
    np.testing.assert_array_equal(vertices, np.asarray(reference.vertices, np.float32))
    np.testing.assert_array_equal(faces, reference.faces)
    if suffix != ".glb":  # without a material trimesh reads no texture coordinates of the file that came
        np.testing.assert_array_equal(uv, np.asarray(reference.visual.uv, np.float32))


def test_glb_to_glb_is_equal_byte_by_byte(tmp_path: Path):
    positions, uv, faces = bent_sheet()
    found = raw_glb(exported(write_sheet(tmp_path / "sheet.glb"), tmp_path / "run"))
    assert found["POSITION"].tobytes() == positions.tobytes()
    assert found["TEXCOORD_0"].tobytes() == uv.tobytes()
    assert found["indices"].tolist() == faces.reshape(-1).tolist()


def test_obj_to_glb_keeps_every_corner(tmp_path: Path):
    path = write_sheet(tmp_path / "sheet.obj")
    positions, uv, faces = arrays(path)
    found = raw_glb(exported(path, tmp_path / "run", format="glb"))
    np.testing.assert_array_equal(found["POSITION"].reshape(-1, 3)[found["indices"]], positions[faces.reshape(-1)])
    # glTF counts v downward: 1 - v, rounded once.
    expected = np.stack([uv[:, 0], (1 - uv[:, 1].astype(np.float64)).astype(np.float32)], axis=-1)
    np.testing.assert_array_equal(found["TEXCOORD_0"].reshape(-1, 2)[found["indices"]], expected[faces.reshape(-1)])


def test_a_glb_keeps_its_nodes_and_other_formats_are_written_where_they_place_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    positions, uv, faces = bent_sheet()
    moved = [2.0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2, 0, 5, 6, 7, 1]  # column after column
    path = one_glb(tmp_path / "sheet.glb", matrix=moved, own=(positions, uv, faces))
    made = exported(path, tmp_path / "run")
    assert raw_glb(made)["POSITION"].tobytes() == positions.tobytes()
    assert parsed(made.read_bytes(), made).tree["nodes"] == [{"mesh": 0, "matrix": moved}]
    with caplog.at_level(logging.INFO):
        vertices, _, _ = arrays(exported(path, tmp_path / "again", format="ply"))
    np.testing.assert_array_equal(vertices, (2 * positions.astype(np.float64) + [5, 6, 7]).astype(np.float32))
    assert "sheet.glb: written where its nodes and joints place the mesh, in world coordinates" in caplog.text


def test_a_glb_says_where_it_differs_and_who_painted_it_only_if_asked(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = write_sheet(tmp_path / "sheet.glb")
    with caplog.at_level(logging.INFO):
        made = exported(path, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "export.json").read_text())["painted-mesh"]["figures"]
    assert f"mesh.glb: differs from sheet.glb in {len(record['changes'])} places: " in caplog.text
    assert all(change in caplog.text for change in record["changes"])
    assert parsed(made.read_bytes(), made).tree["asset"] == {"version": "2.0"}
    made = exported(path, tmp_path / "again", provenance=True)
    about = parsed(made.read_bytes(), made).tree["asset"]["extras"]["painting"]
    assert about.keys() == {"prompt", "versions"}
    assert about["prompt"] == "a ball"


def test_a_glb_that_is_broken_where_nobody_looked_is_written_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    content = write_sheet(tmp_path / "sheet.glb").read_bytes()
    gltf = parsed(content, tmp_path / "sheet.glb")
    gltf.tree["images"] = [7]
    (tmp_path / "sheet.glb").write_bytes(container(gltf.tree, gltf.chunks))
    made = exported(tmp_path / "sheet.glb", tmp_path / "run")
    assert "sheet.glb: it is broken (TypeError: " in caplog.text
    np.testing.assert_array_equal(raw_glb(made)["POSITION"].reshape(-1, 3), bent_sheet()[0])


def test_a_mesh_without_coordinates_gets_an_atlas_and_keeps_its_corners(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = write_ball(tmp_path / "ball.stl")
    with caplog.at_level(logging.INFO):
        made = exported(path, tmp_path / "run")
    assert made.name == "mesh.glb"
    assert "not as stl" in caplog.text
    reference = trimesh.load(path, process=False, force="mesh")
    assert isinstance(reference, trimesh.Trimesh)
    vertices, uv, faces = arrays(made)
    np.testing.assert_array_equal(vertices[faces], np.asarray(reference.triangles, np.float32))
    assert uv_fault(vertices[faces].astype(np.float64), uv[faces].astype(np.float64)) is None


def test_what_was_painted_is_in_the_file(tmp_path: Path):
    """A ball, red above and green below: asked for through the file alone."""
    system = fitting_paint(write_ball(tmp_path / "ball.ply"), 60)
    quiet_trainer(60).fit(system)
    system.guidance.decodes_pixelwise = False  # as with a real model: views are decoded and baked
    exporter = Choice.of(PaintedMesh, format="obj", texture_size=128, n_photographs=12).build()
    files = exporter.export(system, tmp_path)
    assert [file.name for file in files] == ["mesh.obj", "mesh.mtl", "mesh.png"]
    picture = np.asarray(Image.open(tmp_path / "mesh.png").convert("RGB")) / 255
    vertices, uv, faces = arrays(files[0])
    height = vertices[faces].mean(axis=1)[:, 1] + 4.0  # the ball's centre lies at y = -4
    centre = uv[faces].mean(axis=1)
    row = ((1 - centre[:, 1]) * 128).astype(int).clip(0, 127)
    colour = picture[row, (centre[:, 0] * 128).astype(int).clip(0, 127)]
    assert np.abs(colour[height > 1.5] - [1, 0, 0]).mean() < 0.1
    assert np.abs(colour[height < -1.5] - [0, 1, 0]).mean() < 0.1
    record = json.loads((tmp_path / "export.json").read_text())["painted-mesh"]["figures"]
    assert (record["file"], record["own_uv"], record["faces"]) == ("mesh.obj", False, 1280)


def test_faces_that_look_inward_are_coloured_all_the_same(tmp_path: Path):
    ball = trimesh.load(write_ball(tmp_path / "ball.ply"), process=False, force="mesh")
    assert isinstance(ball, trimesh.Trimesh)
    ball.invert()
    ball.export(tmp_path / "inside.ply")
    system = _painted_blue(tmp_path / "inside.ply")
    exporter = Choice.of(PaintedMesh, texture_size=64, n_photographs=8, format="glb").build()
    made = exporter.export(system, tmp_path)[0]
    mesh: Any = trimesh.load(made, process=False, force="mesh")
    picture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB")) / 255
    assert np.abs(picture - [0, 0, 1]).mean() < 0.02


def test_the_atlas_option_decodes_the_texture_itself(tmp_path: Path):
    system = _painted_blue(write_ball(tmp_path / "ball.ply"))
    made = Choice.of(PaintedMesh, colours="atlas", format="glb").build().export(system, tmp_path)[0]
    mesh: Any = trimesh.load(made, process=False, force="mesh")
    picture = np.asarray(mesh.visual.material.baseColorTexture.convert("RGB"))
    assert picture.shape == (32, 32, 3), "one texel of an RGB texture is one of the picture"
    assert (picture == [0, 0, 255]).all()


def _painted_blue(path: Path) -> LatentPaint:
    system = fitting_paint(path, 3)
    assert isinstance(system.geometry, TexturedMesh)
    system.geometry.restart(torch.tensor([-1.0, -1.0, 1.0]))
    system.set_up()
    return system


def test_a_field_is_refused_by_name():
    complaint = "exporters.0: 'painted-mesh' cannot export 'hash-grid'; it takes: textured-mesh"
    with pytest.raises(UserError, match=complaint):
        build_exporters([Choice.of(PaintedMesh)], fitting_system(1))

"""Meshes written and read back by trimesh: the same arrays, the same colours, the same way up and front."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from core.cameras import camera_rays, orbit_cameras
from exporters import mesh_files
from exporters.glb import Texture
from exporters.mesh_files import comment_lines, write_mesh
from exporters.texture_bake import bake_points
from geometry.mesh import Mesh
from geometry.mesh_file import read_mesh
from geometry.own_texture import own_pictures
from geometry.pictures import open_picture
from geometry.unwrap import unwrap
from tests.artefacts import keep

EXTRAS = {"prompt": "a ball\nf 1 1 1\n☃ " + "very " * 100 + "round", "seed": 3}
RED, GREEN, BLUE = (230, 20, 30), (20, 220, 30), (40, 50, 240)


def _arrow() -> trimesh.Trimesh:
    """A body with a front, a top and a right: long toward +z, less so toward +y, least toward +x."""
    bars = []
    for axis, length in ((0, 0.2), (1, 0.3), (2, 0.5)):
        size, centre = np.full(3, 0.1), np.zeros(3)
        size[axis], centre[axis] = length, length / 2
        bar = trimesh.creation.box(size)
        bar.apply_translation(centre)
        bars.append(bar)
    whole: Any = trimesh.util.concatenate(bars)
    return whole.subdivide()


def _colours(vertices: np.ndarray) -> np.ndarray:
    """Red toward +x, green upward, blue in front: whatever is largest."""
    return np.array([RED, GREEN, BLUE])[vertices.argmax(axis=1)] / 255


def _coloured(texture: bool) -> Mesh:
    arrow = _arrow()
    vertices, faces = np.asarray(arrow.vertices, np.float32), np.asarray(arrow.faces)
    normals = np.asarray(arrow.vertex_normals, np.float32)
    bare = Mesh(vertices, faces, normals)
    if not texture:
        return replace(bare, colours=_colours(vertices).astype(np.float32))
    mesh, _ = unwrap(bare, 128)
    return replace(mesh, texture=bake_points(mesh, _colours, 128, 128))


CASES = [("glb", True), ("glb", False), ("obj", True), ("obj", False), ("ply", False), ("ply", True)]


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{'texture' if case[1] else 'vertices'}")
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Mesh, Any]:
    suffix, texture = request.param
    mesh = _coloured(texture)
    first, *_ = write_mesh(tmp_path / f"mesh.{suffix}", mesh, EXTRAS)
    if suffix == "glb":
        keep(first, f"arrow-{'texture' if texture else 'vertices'}.glb")
    (loaded,) = trimesh.load_scene(first, process=False, maintain_order=True).geometry.values()
    return mesh, loaded


def _colour_at(loaded: Any, face: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """The colours that a loaded mesh shows at points of its faces, in bytes."""
    corners = loaded.faces[face]
    if loaded.visual.kind == "vertex":
        return np.einsum("pc,pck->pk", shares, loaded.visual.vertex_colors[corners][..., :3].astype(float))
    if loaded.visual.uv is None:  # a GLB with a material but no texture: linear colours of 16 bits
        linear = loaded.visual.vertex_attributes["color"][corners][..., :3] / 65535
        return np.einsum("pc,pck->pk", shares, 255 * linear ** (1 / 2.2))
    uv = np.einsum("pc,pck->pk", shares, loaded.visual.uv[corners])
    material = loaded.visual.material
    picture = getattr(material, "baseColorTexture", None) or material.image
    texels = np.asarray(picture.convert("RGB"))
    rows, columns, _ = texels.shape
    row = ((1 - uv[:, 1]) * rows).astype(int).clip(0, rows - 1)
    return texels[row, (uv[:, 0] * columns).astype(int).clip(0, columns - 1)].astype(float)


def test_arrays_come_back(written: tuple[Mesh, Any]) -> None:
    mesh, loaded = written
    assert mesh.normals is not None
    assert np.array_equal(np.asarray(loaded.vertices, np.float32)[loaded.faces], mesh.vertices[mesh.faces])
    assert np.asarray(loaded.vertex_normals)[loaded.faces] == pytest.approx(mesh.normals[mesh.faces], abs=1e-5)
    if mesh.uv is not None:
        # glTF counts v from the top: 1 - v is rounded once.
        assert loaded.visual.uv[loaded.faces] == pytest.approx(mesh.uv[mesh.faces], abs=6e-8, rel=0)


@pytest.mark.parametrize(
    ("elevation_deg", "azimuth_deg", "colour", "sideways", "upward"),
    [(0.0, 0.0, BLUE, RED, GREEN), (0.0, 90.0, RED, BLUE, GREEN), (88.0, 0.0, GREEN, RED, BLUE)],
)
def test_a_picture_of_the_file_shows_front_top_and_right_where_they_are(
    written: tuple[Mesh, Any], elevation_deg: float, azimuth_deg: float, colour: Any, sideways: Any, upward: Any
) -> None:
    """From the front the right is at the right; from the right the front is at the left; from above it is below."""
    _, loaded = written
    one, size = torch.ones(1), 64
    cameras = orbit_cameras(elevation_deg * one, azimuth_deg * one, 2 * one, 40 * one, size, size)
    rays = camera_rays(cameras)
    places, ray, face = loaded.ray.intersects_location(
        rays.origins.reshape(-1, 3).double().numpy(), rays.directions.reshape(-1, 3).double().numpy(), False
    )
    shares = trimesh.triangles.points_to_barycentric(loaded.triangles[face], places)
    shown = _colour_at(loaded, face, shares)
    names = np.abs(shown[:, None] - np.array([colour, sideways, upward])).sum(axis=2).argmin(axis=1)
    across, down = ray % size - size / 2, ray // size - size / 2
    side = -1 if azimuth_deg == 90.0 else 1
    below = 1 if elevation_deg > 80 else -1
    assert side * across[names == 1].mean() > 3
    assert below * down[names == 2].mean() > 3
    assert abs(across[names == 0].mean()) < 3  # what looks at the camera is in the middle


def test_provenance_travels_in_every_format(tmp_path: Path) -> None:
    for suffix, word in (("obj", "# "), ("ply", "comment ")):
        path, *_ = write_mesh(tmp_path / f"mesh.{suffix}", _coloured(False), EXTRAS)
        header = path.read_bytes().split(b"end_header")[0].decode("ascii").splitlines()
        lines = [line.removeprefix(word) for line in header if line.startswith(word)]
        assert json.loads("".join(lines)) == EXTRAS
        assert max(map(len, lines)) <= mesh_files.COMMENT_LENGTH


def test_comments_are_ascii_of_one_line_each() -> None:
    lines = comment_lines(EXTRAS)
    assert json.loads("".join(lines)) == EXTRAS
    assert all(line.isascii() and line.isprintable() for line in lines)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_same_mesh_gives_the_same_bytes(case: tuple[str, bool], tmp_path: Path) -> None:
    mesh = _coloured(case[1])
    first = [path.read_bytes() for path in write_mesh(tmp_path / f"mesh.{case[0]}", mesh, EXTRAS)]
    second = [path.read_bytes() for path in write_mesh(tmp_path / f"mesh.{case[0]}", mesh, EXTRAS)]
    assert first == second


def test_obj_names_its_picture(tmp_path: Path) -> None:
    mesh = _coloured(True)
    assert mesh.texture is not None
    names = [path.name for path in write_mesh(tmp_path / "mesh.obj", mesh, EXTRAS)]
    assert names == ["mesh.obj", "mesh.mtl", "mesh.png"]
    assert "map_Kd mesh.png" in (tmp_path / "mesh.mtl").read_text().splitlines()
    with Image.open(tmp_path / "mesh.png") as picture:
        assert np.array_equal(np.asarray(picture), mesh.texture)


def test_each_texture_has_a_material_of_its_own(tmp_path: Path) -> None:
    """Names are any text in glTF; in OBJ they end with their line."""
    square = Mesh(
        np.eye(4, 3, dtype=np.float32), np.array([[0, 1, 2], [1, 2, 3], [0, 1, 3]]), uv=np.eye(4, 2, dtype="f")
    )
    pictures = [np.full((2, 2, 3), level, np.uint8) for level in (9, 99)]
    named = zip(pictures, ([0, 2], [1]), ("Paint\nf 1 1 1", "Räder #2"), strict=True)
    textures = [Texture(picture, np.array(shown), name) for picture, shown, name in named]
    files = write_mesh(tmp_path / "mesh.obj", square, {}, textures)
    assert [file.name for file in files] == ["mesh.obj", "mesh.mtl", "mesh-Paint_f_1_1_1.png", "mesh-R_der_2.png"]
    back = read_mesh(files[0])
    np.testing.assert_array_equal(back.corners, square.corners)
    materials, number = back.file.material_of_faces()
    assert [materials[i] for i in number] == ["Paint f 1 1 1", "Räder #2", "Paint f 1 1 1"]
    shown = {name: open_picture("a picture", own.content) for name, own in own_pictures(back.file).items()}
    assert [shown[name].getpixel((0, 0)) for name in materials] == [(9, 9, 9), (99, 99, 99)]


def test_ply_names_its_picture(tmp_path: Path) -> None:
    names = [path.name for path in write_mesh(tmp_path / "mesh.ply", _coloured(True), EXTRAS)]
    assert names == ["mesh.ply", "mesh.png"]
    assert b"comment TextureFile mesh.png\n" in (tmp_path / "mesh.ply").read_bytes()


def test_a_mesh_has_colours_at_its_vertices_or_in_a_texture(tmp_path: Path) -> None:
    bare, textured = _coloured(False), _coloured(True)
    both = replace(textured, colours=np.zeros_like(textured.vertices))
    for wrong in (replace(bare, colours=None), both, replace(textured, uv=None)):
        with pytest.raises(ValueError, match="with a colour at each vertex, or with a texture"):
            write_mesh(tmp_path / "a.obj", wrong, {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["obj", "ply"])
def test_coordinates_that_float32_cannot_hold_come_back_to_the_last_bit(suffix: str, tmp_path: Path) -> None:
    far = 6e6 + np.random.default_rng(0).random((4, 3))
    mesh = Mesh(far, np.array([[0, 1, 2], [0, 2, 3]]), colours=np.full((4, 3), 0.5, np.float32))
    first, *_ = write_mesh(tmp_path / f"mesh.{suffix}", mesh, {})
    loaded: Any = trimesh.load(first, process=False, force="mesh")
    assert np.array_equal(loaded.vertices, far)

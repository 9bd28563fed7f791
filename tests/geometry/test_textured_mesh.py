"""A mesh that stays as it is, and its texture."""

import logging
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from core.errors import UserError
from core.part import Choice, find
from geometry.placement import Placement
from geometry.textured_mesh import TexturedMesh
from geometry.uv_check import uv_fault
from tests.geometry.small_meshes import one_glb
from tests.geometry.test_uv_check import grid


def sheet(path: Path, uv_scale: float = 1.0) -> Path:
    """A square in the plane z = 0 with texture coordinates of its own, as OBJ."""
    corners, uv = grid(2)
    lines = [f"v {x:.9g} {y:.9g} {z:.9g}" for x, y, z in corners.reshape(-1, 3)]
    lines += [f"vt {u:.9g} {v:.9g}" for u, v in (uv_scale * uv).reshape(-1, 2)]
    lines += [f"f {i}/{i} {i + 1}/{i + 1} {i + 2}/{i + 2}" for i in range(1, 3 * len(uv), 3)]
    path.write_text("\n".join(lines))
    return path


def bad_sheet(path: Path, bad_vertex: bool = False, bad_place: bool = False) -> Path:
    """The sheet with a vertex that no face uses, or a place in the texture that a face does use, which is no number."""
    lines = sheet(path).read_text().splitlines()
    if bad_place:
        lines[next(i for i, line in enumerate(lines) if line.startswith("vt"))] = "vt nan 0.5"
    path.write_text("\n".join([*lines, *(["v nan nan nan"] if bad_vertex else [])]))
    return path


def made(path: Path, **settings: object) -> TexturedMesh:
    """The part as a recipe would build it, with four channels."""
    return TexturedMesh(TexturedMesh.Config(path=path, texture_size=32, **settings), 4)  # pyright: ignore[reportArgumentType]


def test_own_coordinates_are_used_as_they_are(tmp_path: Path):
    surface = made(sheet(tmp_path / "a.obj"))
    assert surface.uses_own_uv
    np.testing.assert_array_equal(surface.corner_uv.numpy(), grid(2)[1].astype(np.float32))


@pytest.mark.parametrize(
    ("uv_scale", "reason"), [(0.0, "degenerate: 100% of the surface"), (9.0, "texture coordinates overlap")]
)
def test_useless_coordinates_are_replaced_and_the_reason_told(
    tmp_path: Path, uv_scale: float, reason: str, caplog: pytest.LogCaptureFixture
):
    path = sheet(tmp_path / "a.obj", uv_scale)
    with caplog.at_level(logging.INFO):
        surface = made(path)
    assert not surface.uses_own_uv
    assert reason in caplog.text
    assert "it is unwrapped" in caplog.text
    if uv_scale:
        with caplog.at_level(logging.INFO):
            assert made(path, uv="own").uses_own_uv, "on demand they are kept"
        assert "gets one colour, such as both sides of a mirrored body" in caplog.text
        return
    with pytest.raises(UserError, match=rf"a\.obj: .*{reason}.*; give uv=auto to have it unwrapped"):
        made(path, uv="own")


def test_coordinates_on_some_faces_only_are_told_as_such(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "a.obj").write_text(
        "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\nf 1 2 4\n"
    )
    with caplog.at_level(logging.INFO):
        assert not made(tmp_path / "a.obj").uses_own_uv
    assert "a.obj: some faces have no texture coordinates; it is unwrapped" in caplog.text


def test_a_mesh_without_coordinates_is_unwrapped_and_the_reason_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    trimesh.creation.box().export(tmp_path / "a.stl")
    with caplog.at_level(logging.INFO):
        assert not made(tmp_path / "a.stl").uses_own_uv
    assert "a.stl: it has no texture coordinates; it is unwrapped" in caplog.text
    complaint = r"a\.stl: it has no texture coordinates; give uv=auto to have it unwrapped"
    with pytest.raises(UserError, match=complaint):
        made(tmp_path / "a.stl", uv="own")


def test_advice_names_the_setting_where_the_recipe_has_it(tmp_path: Path):
    path = bad_sheet(tmp_path / "a.obj", bad_place=True)
    choice = Choice(TexturedMesh, TexturedMesh.Config(path=path, uv="own"), "system.geometry.inner")
    with pytest.raises(UserError, match=r"; give system\.geometry\.inner\.uv=auto to have it unwrapped"):
        choice.build(4)


def test_coordinates_that_are_no_numbers_are_replaced_and_the_reason_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = bad_sheet(tmp_path / "a.obj", bad_place=True)
    with caplog.at_level(logging.INFO):
        surface = made(path)
    assert not surface.uses_own_uv
    assert bool(surface.corner_uv.isfinite().all())
    fault = "a.obj: 1 faces have texture coordinates that are not finite (NaN or infinity)"
    assert f"{fault}; it is unwrapped" in caplog.text
    with pytest.raises(UserError, match=f"{re.escape(fault)}; give uv=auto"):
        made(path, uv="own")


def test_a_vertex_that_no_face_uses_may_hold_anything(tmp_path: Path):
    surface = made(bad_sheet(tmp_path / "a.obj", bad_vertex=True), uv="atlas")
    assert bool(surface.corner_uv.isfinite().all())
    assert surface.texture.shape == (32, 32, 4)
    assert float(surface.vertices[surface.faces].norm(dim=-1).max()) == pytest.approx(0.7, abs=1e-5)


@pytest.mark.parametrize("scale", [2.0**-14, 2.0**14])
def test_the_unit_of_a_mesh_makes_no_difference_to_its_atlas(tmp_path: Path, scale: float):
    """Powers of 2, which round nothing."""
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.export(tmp_path / "ball.ply")
    ball.apply_scale(scale)
    ball.export(tmp_path / "other.ply")
    assert torch.equal(made(tmp_path / "ball.ply").corner_uv, made(tmp_path / "other.ply").corner_uv)


@pytest.mark.parametrize(("first", "second", "own"), [("atlas", "auto", False), ("auto", "atlas", True)])
def test_whose_coordinates_these_are_is_asked_of_themselves(tmp_path: Path, first: str, second: str, own: bool):
    """A checkpoint brings its coordinates along, whatever the recipe would have settled on."""
    path = sheet(tmp_path / "a.obj")
    surface = made(path, uv=second)
    assert surface.uses_own_uv is not own
    surface.load_state_dict(made(path, uv=first).state_dict())
    assert surface.uses_own_uv is own


def test_a_new_atlas_has_no_overlaps_and_leaves_the_mesh_alone(tmp_path: Path):
    ball = trimesh.creation.icosphere(subdivisions=2)
    ball.export(tmp_path / "a.stl")
    surface = made(tmp_path / "a.stl")
    corners = surface.mesh.vertices[surface.mesh.faces].astype(np.float64)
    assert uv_fault(corners, surface.corner_uv.numpy().astype(np.float64)) is None
    # An STL file repeats its vertices; in the atlas neighbours hang together all the same, or every edge were a seam.
    as_places = np.unique(surface.corner_uv.numpy().reshape(-1, 2), axis=0)
    assert len(as_places) < 1.5 * len(ball.vertices)


def test_it_is_placed_for_the_cameras_and_its_front_turned_to_them(tmp_path: Path):
    path = one_glb(tmp_path / "a.glb")
    plain = made(path, placement=Placement(scale=0.5))
    assert float(plain.vertices.norm(dim=-1).max()) == pytest.approx(0.5, abs=1e-5)
    turned = made(path, placement=Placement(scale=0.5), front_azimuth_deg=90.0)  # its front is seen from +x
    x, y, z = plain.vertices.T
    torch.testing.assert_close(turned.vertices, torch.stack([-z, y, x], dim=-1), atol=1e-6, rtol=0)


def test_the_first_texture_is_taken_once(tmp_path: Path):
    surface = made(sheet(tmp_path / "a.obj"))
    look = surface.first_look()
    assert look is not None
    assert look.texture.tolist() == [[[0.5, 0.5, 0.5]]], "a grey, which the method encodes"
    surface.restart(torch.tensor([1.0, 2.0, 3.0, 4.0]))
    assert surface.texture[5, 7].tolist() == [1, 2, 3, 4]
    again = made(sheet(tmp_path / "a.obj"))
    again.load_state_dict(surface.state_dict())
    assert again.first_look() is None
    assert again.texture[5, 7].tolist() == [1, 2, 3, 4], "what a checkpoint has brought stays"


def test_only_the_texture_learns(tmp_path: Path):
    surface = made(sheet(tmp_path / "a.obj"))
    assert [name for name, _ in surface.named_parameters()] == ["texture"]
    assert surface.parameter_groups() == [{"params": [surface.texture], "lr": 0.01}]
    assert find("geometry", "textured-mesh") is TexturedMesh


def two_boxes(path: Path) -> Path:
    """Two boxes that do not touch, of which the second has a file's usual doubled vertices."""
    second = trimesh.creation.box((0.3, 0.3, 0.3))
    second.apply_translation([1.0, 0.0, 0.0])
    second.unmerge_vertices()
    trimesh.util.concatenate([trimesh.creation.box(), second]).export(path)
    return path


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"texture_size": 100}, "texture_size: 16, 32, 64 ... 4096, got 100"),
        ({"start_color": (0.0, 2.0, 0.0)}, "start_color: from 0 to 1"),
        ({"learning_rate": 0.0}, "learning_rate: above 0"),
        ({"start": Path("lti")}, "start: 'lti' is no picture. Did you mean 'lit'?"),
    ],
)
def test_nonsense_is_refused(settings: dict, complaint: str):
    with pytest.raises(UserError, match=complaint):
        TexturedMesh.Config(path=Path("a.obj"), **settings)


def test_too_many_faces_for_an_atlas_are_told_with_the_file(tmp_path: Path):
    trimesh.creation.icosphere(subdivisions=2).export(tmp_path / "ball.stl")
    with pytest.raises(UserError, match=r"ball\.stl: unwrap: 320 faces, at most 100"):
        made(tmp_path / "ball.stl", max_faces=100)

"""Which faces share a texture, by hand-made files of squares."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from geometry.mesh import Mesh
from geometry.mesh_file import read_mesh
from geometry.texture_layout import painted_sets
from geometry.texture_sets import painted_faces, texture_side
from tests.geometry.small_meshes import written

POSITIONS = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\n"
WHOLE, LEFT, RIGHT = (0, 0, 1, 1), (0, 0, 0.5, 1), (0.5, 0, 1, 1)


def squares(folder: Path, faces: list[tuple[str, tuple[float, float, float, float]]], library: str = "") -> Mesh:
    """A square of each material, laid out over a rectangle of the texture; an empty one has no place in it."""
    text = "mtllib a.mtl\n" if library else ""
    places = 0
    for i, (material, rectangle) in enumerate(faces):
        text += "".join(f"v {x} {y} {i}\n" for x, y in ((0, 0), (1, 0), (1, 1), (0, 1)))
        text += f"usemtl {material}\n" if material else ""
        corners = [f"{4 * i + j}" for j in range(1, 5)]
        if rectangle:
            u0, v0, u1, v1 = rectangle
            text += "".join(f"vt {u} {v}\n" for u, v in ((u0, v0), (u1, v0), (u1, v1), (u0, v1)))
            corners = [f"{corner}/{places + j}" for j, corner in enumerate(corners, start=1)]
            places += 4
        text += "f " + " ".join(corners) + "\n"
    (folder / "a.mtl").write_text(library)
    return read_mesh(written(folder, "a.obj", text))


def found(mesh: Mesh, wanted: tuple[str, ...] = (), uv: str = "auto") -> list[tuple[str, list[int], bool]]:
    """Of each set its name, its squares, and whether it keeps its texture coordinates."""
    sets = painted_sets(mesh, painted_faces(mesh, wanted), uv)  # pyright: ignore[reportArgumentType]
    return [(each.name, np.unique(each.faces // 2).tolist(), each.fault is None) for each in sets]


def test_materials_on_top_of_each_other_get_textures_of_their_own(tmp_path: Path):
    mesh = squares(tmp_path, [("Body", WHOLE), ("Wheels", WHOLE)])
    assert found(mesh) == [("Body", [0], True), ("Wheels", [1], True)]
    assert found(mesh, ("Wheels",)) == [("Wheels", [1], True)]


def test_materials_that_leave_room_for_each_other_share_one(tmp_path: Path):
    mesh = squares(tmp_path, [("Body", LEFT), ("Wheels", RIGHT)])
    assert found(mesh) == [("Body", [0, 1], True)]


def test_materials_of_one_picture_share_a_texture_and_those_of_two_do_not(tmp_path: Path):
    for name in ("a.png", "b.png"):
        Image.new("RGB", (2, 2)).save(tmp_path / name)
    library = "newmtl Body\nmap_Kd a.png\nnewmtl Eyes\nmap_Kd a.png\nnewmtl Wheels\nmap_Kd b.png\n"
    mesh = squares(tmp_path, [("Body", LEFT), ("Wheels", RIGHT), ("Eyes", RIGHT)], library)
    assert found(mesh) == [("Body", [0, 2], True), ("Wheels", [1], True)]
    (tmp_path / "b.png").unlink()
    assert found(mesh) == [("Body", [0], True), ("Wheels", [1], True), ("Eyes", [2], True)], "by their names alone"


def test_tiles_are_textures_of_their_own(tmp_path: Path):
    mesh = squares(tmp_path, [("Body", WHOLE), ("Body", (1, 0, 2, 1)), ("Body", (1, 2, 2, 3))])
    assert found(mesh) == [("Body.1001", [0], True), ("Body.1002", [1], True), ("Body.1022", [2], True)]
    repeated = squares(tmp_path, [("Body", (0.5, 0, 1.5, 1))])
    assert found(repeated) == [("Body", [0], True)], "a face over the border repeats the texture"
    apart = squares(tmp_path, [("Body", LEFT), ("Body", (1.5, 0, 2, 1))])
    assert found(apart) == [("Body", [0, 1], True)], "where they leave room for each other, one holds both"


def test_a_material_without_coordinates_leaves_the_others_theirs(tmp_path: Path):
    mesh = squares(tmp_path, [("Body", WHOLE), ("Wheels", ()), ("Glass", (0, 0, 0, 0))])  # pyright: ignore
    assert found(mesh) == [("Body", [0], True), ("Wheels", [1, 2], False)], "those two get an atlas together"
    assert found(mesh, ("Body",)) == [("Body", [0], True)]
    with pytest.raises(UserError, match=r"a\.obj: Wheels: some faces have no texture coordinates; give .*uv=auto"):
        found(mesh, ("Body", "Wheels"), "own")


def test_both_sides_of_a_mirrored_body_on_demand(tmp_path: Path):
    mesh = squares(tmp_path, [("Body", WHOLE), ("Body", WHOLE)])
    assert found(mesh) == [("Body", [0, 1], False)]
    assert found(mesh, uv="own") == [("Body", [0, 1], True)]
    assert found(mesh, uv="atlas") == [("", [0, 1], False)]


def test_a_material_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path):
    mesh = squares(tmp_path, [("Body", WHOLE), ("", LEFT)])
    with pytest.raises(UserError, match=r"a\.obj: materials: it has no 'Bodi'\. Did you mean 'Body'\?"):
        painted_faces(mesh, ("Bodi",))


@pytest.mark.parametrize(
    ("size", "filled", "side"), [(1.0, 1.0, 256), (0.5, 1.0, 128), (0.5, 0.25, 256), (0.3, 1.0, 128), (1e-6, 1.0, 64)]
)
def test_textures_show_the_surface_equally_finely(size: float, filled: float, side: int):
    """A square of half the side needs half as many texels along it; a texture that is filled less, more."""
    square = np.array([[[0, 0, 0], [1, 0, 0], [1, 1, 0]], [[0, 0, 0], [1, 1, 0], [0, 1, 0]]], float)
    own, uv = square * size, square[..., :2] * filled**0.5
    rest = square * (1 - size**2) ** 0.5
    assert texture_side(own, np.concatenate([own, rest]), uv, 256) == side

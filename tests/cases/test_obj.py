"""OBJ files as people bring them, written by hand, with what is right about each."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from geometry.mesh import Mesh, area_vectors
from geometry.mesh_file import read_mesh
from tests.geometry.only_texture import read_own_texture
from tests.geometry.small_meshes import written

SQUARE = "v 0 0 0\nv 2 0 0\nv 2 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\n"
FACE = "f 1/1 2/2 3/3 4/4\n"
#: A square whose texture is red on its left half and blue on its right.
TEXTURED = f"mtllib a.mtl\n{SQUARE}usemtl wood\n{FACE}"
RED, BLUE = (200, 30, 20), (10, 20, 220)


def area(mesh: Mesh) -> float:
    return float(np.linalg.norm(area_vectors(mesh.corners), axis=1).sum() / 2)


def picture(folder: Path, name: str = "wood.png", mode: str = "RGB") -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.repeat(np.array([[RED, BLUE]], np.uint8), 4, axis=1)
    Image.fromarray(np.repeat(pixels, 8, axis=0)).convert(mode).save(path)


def colours(mesh: Mesh) -> list[list[int]]:
    """Of the texture's left and right half."""
    found = (read_own_texture(mesh, 8) * 255).round().int()
    return [found[4, 1].tolist(), found[4, 6].tolist()]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_text_in_any_encoding(tmp_path: Path, codec: str, ends: str):
    picture(tmp_path)
    (tmp_path / "a.mtl").write_bytes("newmtl wood\nmap_Kd wood.png\n".replace("\n", ends).encode(codec))
    mesh = read_mesh(written(tmp_path, "a.obj", TEXTURED.replace("\n", ends).encode(codec)))
    assert area(mesh) == 2
    assert colours(mesh) == [list(RED), list(BLUE)]


def test_a_line_goes_on_after_a_backslash_and_a_comment_does_not(tmp_path: Path):
    text = "# saved in C:\\meshes\\\nv 0 0 0\nv 2 \\\n 0 0\nv 2 1 0\nv 0 1 0\nf 1 2 \\\n3 \\\n4\\"
    assert area(read_mesh(written(tmp_path, "a.obj", text))) == 2


@pytest.mark.parametrize(
    ("outline", "right"),
    [
        ("0 0,6 0,6 2,2 2,2 6,0 6", 20.0),  # an L
        ("0 0,4 0,4 4,3 4,3 1,1 1,1 4,0 4", 10.0),  # a U, whose fan around the first corner leaves it twice
        ("0 0,2 1,4 0,4 4,0 4", 14.0),  # a dent in its first edge
    ],
)
def test_concave_polygons_are_cut_within_their_outline(tmp_path: Path, outline: str, right: float):
    points = outline.split(",")
    for turn in range(len(points)):
        corners = [*points[turn:], *points[:turn]]
        text = "".join(f"v {corner} 0\n" for corner in corners) + "f " + " ".join(map(str, range(1, len(corners) + 1)))
        mesh = read_mesh(written(tmp_path, "a.obj", text))
        assert area(mesh) == pytest.approx(right), f"from corner {turn} on"
        assert (area_vectors(mesh.corners)[:, 2] >= 0).all(), "and all of it faces the same way"


def test_numbers_stay_as_exact_as_they_were_written(tmp_path: Path):
    """Map coordinates: float32 would place them in steps of half a metre."""
    text = "v 400000.1 6000000.25 1\nv 400000.4 6000000.25 1\nv 400000.4 6000000.55 1\nf 1 2 3\n"
    mesh = read_mesh(written(tmp_path, "a.obj", text))
    assert mesh.vertices.tolist() == [[400000.1, 6000000.25, 1], [400000.4, 6000000.25, 1], [400000.4, 6000000.55, 1]]


@pytest.mark.parametrize(
    ("library", "name"),
    [
        ("newmtl wood\nmap_Kd wood.png\n", "wood.png"),
        ("newmtl wood\nmap_Kd textures\\wood.png\n", "textures/wood.png"),
        ("newmtl wood\nmap_Kd C:\\Users\\me\\textures\\wood.png\n", "wood.png"),
        ("newmtl wood\nmap_Kd /home/me/wood.png\n", "wood.png"),
        ("newmtl wood\nmap_Kd WOOD.PNG\n", "wood.png"),
        ("newmtl wood\n\tmap_Kd   my dark wood.png  \n", "my dark wood.png"),
        ("newmtl wood\nmap_Kd -s 1 1 1 -o 0 0 0 -clamp on -mm 0 1 -imfchan l -blendu off a b.png\n", "a b.png"),
        ("newmtl wood\nmap_Kd -s 1 -bm 0.5 wood.png\nmap_Bump none.png\n", "wood.png"),
        ("newmtl other\nmap_Kd none.png\nnewmtl wood\nmap_Kd wood.png\n", "wood.png"),
        ("MAP_KD none.png\nnewmtl wood\nMap_kd wood.png\n", "wood.png"),
        ('newmtl wood\nmap_Kd "my wood.png"\n', "my wood.png"),
    ],
)
def test_the_forms_of_a_materials_picture(tmp_path: Path, library: str, name: str):
    picture(tmp_path, name)
    (tmp_path / "a.mtl").write_text(library)
    assert colours(read_mesh(written(tmp_path, "a.obj", TEXTURED))) == [list(RED), list(BLUE)]


@pytest.mark.parametrize("named", ["a.mtl b.mtl", "a.mtl\nmtllib b.mtl", "my own a.MTL b.mtl"])
def test_a_file_may_name_several_libraries(tmp_path: Path, named: str):
    picture(tmp_path)
    for name in ("a.mtl", "my own a.MTL"):
        (tmp_path / name).write_text("newmtl metal\nKd 1 1 1\n")
    (tmp_path / "b.mtl").write_text("newmtl wood\nmap_Kd wood.png\n")
    mesh = read_mesh(written(tmp_path, "a.obj", TEXTURED.replace("mtllib a.mtl", f"mtllib {named}")))
    assert colours(mesh) == [list(RED), list(BLUE)]


def test_names_may_hold_what_begins_a_comment_elsewhere(tmp_path: Path):
    picture(tmp_path, "wood #2.png")
    (tmp_path / "my #1.mtl").write_text("newmtl Material #25\nmap_Kd wood #2.png\n")
    text = TEXTURED.replace("a.mtl", "my #1.mtl # all of them").replace("usemtl wood", "usemtl Material #25")
    mesh = read_mesh(written(tmp_path, "a.obj", text.replace("4/4", "4/4 # a face")))
    assert colours(mesh) == [list(RED), list(BLUE)]
    assert mesh.file.material_of_faces()[0] == ("Material #25",)


def test_pictures_of_any_depth(tmp_path: Path):
    (tmp_path / "a.mtl").write_text("newmtl wood\nmap_Kd wood.png\n")
    mesh = read_mesh(written(tmp_path, "a.obj", TEXTURED))
    for mode in ("RGB", "RGBA", "P", "L", "LA", "1"):
        picture(tmp_path, mode=mode)
        bright = [max(colour) for colour in colours(mesh)]
        assert (bright == [200, 220]) or mode in ("P", "L", "LA", "1"), mode
    levels = np.repeat(np.array([[0, 257 * 40, 257 * 200, 65535]], np.uint16), 2, axis=1)
    Image.fromarray(np.repeat(levels, 8, axis=0)).save(tmp_path / "wood.png")
    with Image.open(tmp_path / "wood.png") as kept:
        assert kept.mode.startswith("I")
    found = (read_own_texture(mesh, 8) * 255).round().int()
    assert found[3, ::2].tolist() == [[level] * 3 for level in (0, 40, 200, 255)], "16 bits of grey"


def test_what_is_no_mesh_says_what_to_do(tmp_path: Path):
    said = {
        "a.obj": (b"version https://git-lfs.github.com/spec/v1\noid sha256:12\n", "Git LFS pointer.*git lfs pull"),
        "b.obj": (b"\n<!DOCTYPE html>\n<html>", "a web page, not the file itself; download that"),
        "c.3mf": (b"PK\x03\x04", "3MF is not read here; open it in a slicer"),
        "d.usdz": (b"PK\x03\x04", "USDZ is not read here; open it in Blender and save it as glb"),
        "e.usd": (b"PXR-USDC", "USD is not read here; open it in Blender and save it as glb"),
        "f.FBX": (b"Kaydara FBX", "FBX is not read here; open it in Blender and save it as glb"),
        "g.step": (b"ISO-10303-21;", "STEP is not read here; open it in a CAD program such as FreeCAD and save it"),
    }
    for name, (content, complaint) in said.items():
        with pytest.raises(UserError, match=complaint):
            read_mesh(written(tmp_path, name, content))


def test_a_file_too_large_is_told_before_it_is_read(tmp_path: Path):
    path = tmp_path / "huge.obj"
    with path.open("wb") as file:
        file.write(b"v 0 0 0\n")
        file.truncate(2**34)  # takes no room on the disk
    with pytest.raises(UserError, match=r"huge\.obj: 16,384 MiB, at most 512 are read; simplify the mesh first"):
        read_mesh(path)

"""Files beside a mesh: what each format refers to, and nothing from elsewhere."""

import json
from pathlib import Path

import pytest

from geometry.companions import companions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With files that a mesh may refer to, and one outside that it may not."""
    made = tmp_path / "meshes"
    for name in ("a.mtl", "my wood.png", "sub/b.png", "c.bin", "../secret.png"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text("x")
    return made


def write(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder / name


def test_an_obj_has_its_materials_and_their_pictures(folder: Path) -> None:
    write(folder, "a.mtl", "newmtl m\nmap_Kd my wood.png\n  map_Bump -bm 0.2 sub/b.png\r\nKd 1 1 1\nmap_Ks none.png\n")
    mesh = write(folder, "m.obj", "# mtllib c.bin\nmtllib a.mtl\nv 0 0 0\n")
    assert companions(mesh) == ["a.mtl", "my wood.png", "sub/b.png"]


def test_a_gltf_has_its_buffers_and_pictures(folder: Path) -> None:
    images = [{"uri": "my%20wood.png"}, {"uri": "data:image/png;base64,AA=="}, {"bufferView": 0}]
    mesh = write(folder, "m.gltf", json.dumps({"buffers": [{"uri": "c.bin"}], "images": images}))
    assert companions(mesh) == ["c.bin", "my wood.png"]


def test_a_ply_has_the_picture_that_its_comment_names(folder: Path) -> None:
    mesh = write(folder, "m.ply", "ply\nformat ascii 1.0\ncomment TextureFile my wood.png\nend_header\n")
    assert companions(mesh) == ["my wood.png"]


@pytest.mark.parametrize("name", ["../secret.png", "sub/../../secret.png", "{tmp}/secret.png", "link.png"])
def test_nothing_from_outside_of_its_folder(folder: Path, name: str) -> None:
    (folder / "link.png").symlink_to(folder.parent / "secret.png")
    mesh = write(folder, "m.ply", f"ply\ncomment TextureFile {name.format(tmp=folder.parent)}\n")
    assert companions(mesh) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [("m.gltf", "{"), ("m.gltf", "[1]"), ("m.gltf", '{"images": [1, {"uri": 3}]}'), ("m.stl", "mtllib a.mtl\n")],
)
def test_what_refers_to_nothing_has_none(folder: Path, name: str, text: str) -> None:
    assert companions(write(folder, name, text)) == []


def test_a_file_that_is_not_there_has_none(folder: Path) -> None:
    assert companions(folder / "none.obj") == []

"""The user's OBJ with its materials exchanged: which lines change, and that no other does."""

import difflib
from pathlib import Path

import numpy as np
import pytest

from exporters.new_places import NewPlaces
from exporters.obj_in_place import kept_picture, painted_library, painted_obj
from geometry.mesh import Mesh
from geometry.mesh_file import read_mesh
from geometry.mtl_file import read_libraries
from tests.geometry.small_meshes import written

#: Everything that people's files hold: comments, groups, smoothing, quads, normals, lines, free-form words, odd digits.
TEXT = """# a crate, made by hand
mtllib old.mtl other.mtl
o crate
v 0.0 0.00 -0
v 1e0 0 0 1.0 0.5 0.25
v 1 1.000 0
v 0 1 0
v 2 0 0
v 2 1 0
vt 0 0
vt 0.5 0
vt 0.5 1
vt 0 1
vn 0 0 1
g left
s 1
usemtl wood
f 1/1/1 2/2/1 3/3/1 4/4/1   # a quad
g right
s off
usemtl metal
f -5/2/1 -2/1/1 \\
  -1/4/1 3/3/1
l 1/1 2/2
cstype bezier
"""


def changed(before: bytes, after: bytes) -> tuple[list[str], list[str]]:
    """Lines that are gone, and lines that are new."""
    old, new = (content.decode().splitlines() for content in (before, after))
    found = list(difflib.ndiff(old, new))
    return [line[2:] for line in found if line[0] == "-"], [line[2:] for line in found if line[0] == "+"]


def placed(mesh: Mesh, seed: int = 0) -> NewPlaces:
    """New texture coordinates: one for each corner of the file, so that polygons stay whole."""
    assert mesh.file.corner is not None
    uv = np.random.default_rng(seed).random((int(mesh.file.corner.max()) + 1, 2), np.float32)
    return NewPlaces.of(mesh, uv[mesh.file.corner])


def test_with_its_own_coordinates_only_the_library_changes():
    content = TEXT.encode()
    gone, new = changed(content, painted_obj(content, ["wood", "metal"], "mesh.mtl"))
    assert (gone, new) == (["mtllib old.mtl other.mtl"], ["mtllib mesh.mtl"])


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16-le", "latin-1"])
def test_encoding_and_line_ends_stay(codec: str):
    content = TEXT.replace("by hand", "für dich").replace("\n", "\r\n").encode(codec)
    after = painted_obj(content, [None, None], "m.mtl")
    expected = TEXT.replace("by hand", "für dich").replace("mtllib old.mtl other.mtl", "mtllib m.mtl")
    assert after == expected.replace("\n", "\r\n").encode(codec)


def test_faces_without_a_material_get_one_before_the_first_of_them():
    content = b"# note\nv 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\nf 3 2 1"
    assert painted_obj(content, ["painted", "painted"], "mesh.mtl") == (
        b"# note\nmtllib mesh.mtl\nv 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl painted\nf 1 2 3\nf 3 2 1"
    )


def test_tiles_of_a_material_become_materials_of_their_own():
    content = b"v 0 0 0\nv 1 0 0\nv 0 1 0\nusemtl a\nf 1 2 3\nf 3 2 1\nf 2 3 1\nusemtl b\nf 1 3 2\n"
    gone, new = changed(content, painted_obj(content, ["a", "a.1002", "a", None], "m.mtl"))
    assert gone == []
    assert new == ["mtllib m.mtl", "usemtl a.1002", "usemtl a"]


def test_a_new_atlas_changes_places_alone(tmp_path: Path):
    path = written(tmp_path, "a.obj", TEXT)
    mesh = read_mesh(path)
    places = placed(mesh)
    after = painted_obj(path.read_bytes(), [None, None], "mesh.mtl", places)
    gone, new = changed(path.read_bytes(), after)
    assert {line.split()[0] for line in new} == {"mtllib", "vt", "f", "l"}
    assert {line.split()[0] for line in gone} == {"mtllib", "vt", "f", "l", "-1/4/1"}
    assert b"f 1/1/1 2/2/1 3/3/1 4/4/1 # a quad\n" in after
    assert b"f -5/5/1 -2/6/1 -1/7/1 3/8/1\n" in after, "vertices are named as they were"
    back = read_mesh(written(tmp_path, "b.obj", after))
    assert back.corner_uv is not None
    np.testing.assert_array_equal(back.corners, mesh.corners)
    assert np.bincount(back.file.polygon).tolist() == [2, 2], "quads stay quads"
    np.testing.assert_array_equal(back.corner_uv.reshape(-1, 2), places.uv[places.triangle_places.reshape(-1)])


def test_a_polygon_with_a_seam_through_it_becomes_triangles(tmp_path: Path):
    path = written(tmp_path, "a.obj", TEXT)
    mesh = read_mesh(path)
    uv = np.random.default_rng(1).random((len(mesh.faces), 3, 2)).astype(np.float32)
    after = painted_obj(path.read_bytes(), [None, None], "mesh.mtl", NewPlaces.of(mesh, uv))
    back = read_mesh(written(tmp_path, "b.obj", after))
    assert back.corner_uv is not None
    np.testing.assert_array_equal(back.corners, mesh.corners)
    np.testing.assert_array_equal(back.corner_uv, uv)
    assert np.bincount(back.file.polygon).tolist() == [1, 1, 1, 1]


def test_the_library_keeps_what_it_said_but_the_painted_colour(tmp_path: Path):
    library = "newmtl wood\nKd 0.5 0.5 0.5\nNs 10\nmap_Kd -s 2 2 2 tex\\wood.png\nmap_Bump -bm 0.3 tex/bump 1.png\n"
    library += "newmtl metal\nKd 1 0 0\nmap_Kd C:\\my\\metal.png\nnewmtl unused\nKd 0 0 1\n"
    (tmp_path / "old.mtl").write_text(library)
    known = read_libraries(tmp_path / "a.obj", ["old.mtl"])
    painted = {"wood": ("wood", "mesh.png"), "new": (None, "mesh-new.png")}
    assert painted_library(known, ["metal"], painted, keeps_places=True).decode().splitlines() == [
        *("newmtl metal", "Kd 1 0 0", "map_Kd textures/C/my/metal.png"),
        *("newmtl wood", "Ns 10", "map_Bump -bm 0.3 textures/tex/bump 1.png", "Kd 1 1 1", "map_Kd mesh.png"),
        *("newmtl new", "Ks 0 0 0", "illum 1", "Kd 1 1 1", "map_Kd mesh-new.png"),
    ]
    assert b"bump" not in painted_library(known, [], painted, keeps_places=False), "it would lie elsewhere now"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "..\\..\\etc\\passwd", "C:\\etc\\passwd"])
def test_a_kept_picture_is_written_nowhere_else(name: str):
    kept = kept_picture(name)
    assert kept.startswith("textures/")
    assert ".." not in kept
    assert ":" not in kept

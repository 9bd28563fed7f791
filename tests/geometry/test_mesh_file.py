"""Mesh files of every format: their order, and what is said of files that cannot be read."""

import bz2
import gzip
import io
import json
import lzma
import os
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry.load_surface import load_surface
from geometry.mesh import Mesh
from geometry.mesh_file import checked_format, read_mesh
from geometry.sketch import load_sketch_mesh
from tests.geometry.small_meshes import SQUARE, glb, gltf, packed_glb, ply, triangle, written

HUGE_PLY = "ply\nformat binary_little_endian 1.0\nelement vertex 99999999999\nproperty float x\nend_header\n"
GARBAGE = np.random.default_rng(0).bytes(4000)
LOOP = "outer loop\nvertex {0} 0 0\nvertex {0} 1 0\nvertex {0} 0 1\nendloop\n"
SOLID = f"solid {{0}}\nfacet normal 1 0 0\n{LOOP}endfacet\nendsolid\n"
THREE = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0]])
ONE_FACE = np.array([[0, 1, 2]])


def _read(folder: Path, name: str, content: str | bytes) -> Mesh:
    return read_mesh(written(folder, name, content))


def _first_corners(mesh: Mesh) -> list[float]:
    """x of each face's first corner, which tells the triangles of these tests apart."""
    return mesh.corners[:, 0, 0].tolist()


def test_the_bodies_of_a_glb_come_in_its_order(tmp_path: Path):
    for primitives in (None, [[0, 1, 2, 3, 4]], [[0, 1], [2], [3, 4]]):
        found = _read(tmp_path, "a.glb", glb([triangle(i) for i in range(5)], primitives))
        assert _first_corners(found) == [0, 1, 2, 3, 4], primitives
        assert found.file.part.tolist() == [0, 1, 2, 3, 4]


def test_a_body_placed_several_times_comes_as_often(tmp_path: Path):
    content = glb([triangle(0), triangle(1), triangle(2)])
    size = struct.unpack_from("<I", content, 12)[0]
    tree = json.loads(content[20 : 20 + size])
    tree["nodes"] = [{"mesh": 2}, {"mesh": 0, "translation": [10, 0, 0]}, {"mesh": 0, "translation": [20, 0, 0]}]
    tree["nodes"].append({"mesh": 1, "children": [0]})
    tree["scenes"] = [{"nodes": [1, 2, 3]}]
    found = _read(tmp_path, "a.glb", packed_glb(tree, content[28 + size :]))
    assert _first_corners(found) == [10, 20, 1, 2]


def test_the_solids_of_an_stl_come_in_its_order(tmp_path: Path):
    found = _read(tmp_path, "a.stl", "".join(SOLID.format(i) for i in (3, 1, 4, 2)))
    assert _first_corners(found) == [3, 1, 4, 2]


def test_broken_normals_are_nobodys_business(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    assert len(_read(tmp_path, "a.stl", SOLID.format(1).replace("normal 1", "normal b")).faces) == 1
    assert not caplog.records


def test_scenes_of_trimesh_keep_their_order(tmp_path: Path):
    sizes = [3.0, 1.0, 5.0, 2.0, 4.0]
    trimesh.Scene([trimesh.creation.box(extents=[size] * 3) for size in sizes]).export(tmp_path / "a.glb")
    found = read_mesh(tmp_path / "a.glb")
    assert [float(np.ptp(found.corners[found.file.part == part, :, 0])) for part in range(5)] == sizes


def test_the_polygons_of_a_ply_become_fans_where_they_stand(tmp_path: Path):
    points = "0 0 0\n1 0 0\n1 1 0\n0 1 0\n0 0 1"
    mixed = _read(tmp_path, "a.ply", ply(points, "4 0 1 2 3\n3 0 1 4\n5 0 1 2 3 4\n4 1 2 3 4\n3 4 2 1"))
    assert [sorted(face) for face in mixed.faces.tolist()] == [
        *([0, 1, 2], [0, 2, 3], [0, 1, 4], [0, 1, 2], [0, 2, 3], [0, 3, 4], [1, 2, 3], [1, 3, 4], [1, 2, 4])
    ]
    normal = np.cross(mixed.vertices[mixed.faces[:, 1]], mixed.vertices[mixed.faces[:, 2]] - mixed.vertices[0])
    assert normal[0].tolist() == [0, 0, 1], "and they turn as the polygon does"
    assert mixed.file.n_split == 3
    quads = _read(tmp_path, "a.ply", ply(points, "4 0 1 2 3\n4 1 2 3 4\n4 0 2 3 4"))
    fans = [[0, 1, 2], [0, 2, 3], [1, 2, 3], [1, 3, 4], [0, 2, 3], [0, 3, 4]]
    assert [sorted(face) for face in quads.faces.tolist()] == fans
    assert quads.file.n_split == 3


def test_the_quads_of_a_binary_ply_with_texture_coordinates_keep_their_corners(tmp_path: Path):
    names = "".join(f"property float {name}\n" for name in "xyzst")
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex 6\n{names}element face 2\n"
    header += "property list uchar int vertex_indices\nend_header\n"
    points = np.array([[x, y, 0, x / 4, y / 4] for x in (0, 1, 2) for y in (0, 1)], "<f4")
    faces = b"".join(struct.pack("<B4i", 4, *quad) for quad in ((0, 2, 3, 1), (2, 4, 5, 3)))
    body = _read(tmp_path, "a.ply", header.encode() + points.tobytes() + faces)
    assert body.uv is not None
    np.testing.assert_array_equal(body.uv[body.faces] * 4, body.vertices[body.faces][:, :, :2])
    middles = body.vertices[body.faces].mean(axis=1)[:, 0]
    assert (middles < 1).tolist() == [True, True, False, False], "the first quad's halves come first"


@pytest.mark.parametrize("kind", ["glb", "ply", "obj", "off", "stl"])
def test_the_sign_of_zero_stays(kind: str, tmp_path: Path):
    positions = np.array([[-0.0, 0.0, -0.0], [1, 0, 0], [0, 1, 0]])
    path = tmp_path / f"a.{kind}"
    if kind == "glb":
        path.write_bytes(glb([(positions, ONE_FACE, None)]))
    else:
        trimesh.Trimesh(positions, ONE_FACE, process=False).export(path)
    assert np.signbit(read_mesh(path).vertices[0]).tolist() == [True, False, True]


def test_a_gltf_reads_buffers_of_its_own_folder(tmp_path: Path):
    written(tmp_path, "my corners.bin", struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 2, 0))
    for uri in ("my%20corners.bin", "my corners.bin"):
        body = _read(tmp_path, "one.gltf", gltf(uri))
        assert body.vertices[body.faces[0]].tolist() == [[0, 0, 0], [1, 0, 0], [0, 2, 0]]


NO_FACES = "no faces in it; a mesh of triangles is needed, not points or lines alone"
OUT_OF_RANGE = "face indices out of range: a face names a vertex that the file does not have"
BAD_FILES = [
    ("a.obj", b"", "the file is empty"),
    ("a.glb", b"", "the file is empty"),
    ("a.txt", b"hello", r"'.txt' is not a mesh format that can be read; save it as obj, ply, stl"),
    ("a.obj", GARBAGE, "not a readable OBJ file: it holds binary data"),
    ("a.obj", b"hello, world\n" * 9, r"not a readable OBJ file: it has no vertices \(lines 'v x y z'\)"),
    (
        "a.obj",
        "v 0 0\nv 1 0\nv 0 1\nf 1 2 3\n",
        "line 1: 'v 0 0': a vertex needs three numbers",
    ),
    ("a.ply", GARBAGE, "not a readable PLY file: "),
    ("a.ply", HUGE_PLY, "not a readable PLY file: "),
    ("a.stl", GARBAGE, r"not a readable STL file: its 4,000 bytes do not hold the [\d,]+ triangles announced"),
    (
        "a.stl",
        bytes(80) + b"\2\0\0\0" + bytes(50),
        "its 134 bytes do not hold the 2 triangles",
    ),
    ("a.stl", b"st", "not a readable STL file: its 2 bytes do not hold the 0 triangles"),
    ("a.stl", SOLID.format(1)[:-9], "not a readable STL file: it has no 'endsolid'; it is truncated, or not a mesh"),
    ("a.glb", GARBAGE, "not a readable GLB file: it does not begin with 'glTF'"),
    ("a.gltf", GARBAGE, "not a readable GLTF file: "),
    ("a.gltf", b"{not json", "not a readable GLTF file: "),
    ("a.gltf", '{"meshes": [1]}', "not a readable GLTF file: its parts do not fit together"),
    ("a.gltf", '{"nodes": 3, "buffers": 4}', "not a readable GLTF file: "),
    ("a.off", GARBAGE, "not a readable OFF file: it does not begin with 'OFF'"),
    ("a.obj", SQUARE, NO_FACES),
    ("a.obj", SQUARE + "l 1 2\n", NO_FACES),
    ("a.ply", ply("0 0 0\n1 1 1\n0 1 0", ""), NO_FACES),
    ("a.off", "OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", NO_FACES),
    ("a.glb", glb([(THREE, None, None)]), NO_FACES),
    ("a.gltf", "{}", NO_FACES),
    ("a.stl", bytes(84), NO_FACES),
    ("a.obj", SQUARE + "f 1 2 9\n", OUT_OF_RANGE),
    ("a.obj", SQUARE + "f 1 2 3\nf 2 0 1\n", "face indices out of range: line 6 names vertex 0, OBJ counts from 1"),
    ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", OUT_OF_RANGE),
    ("a.ply", ply("0 0 0\n1 1 1\n0 1 0", "3 0 1 8"), OUT_OF_RANGE),
    ("a.ply", ply("0 0 0\n1 1 1\n0 1 0", "3 0 1 -1"), OUT_OF_RANGE),
    ("a.glb", glb([(THREE, np.array([[0, 1, 3]]), None)]), OUT_OF_RANGE),
    ("a.glb", glb([(THREE, np.array([[0, 1, 2**32 - 1]]), None)]), OUT_OF_RANGE),
    ("a.glb", glb([(THREE + np.nan, ONE_FACE, None)]), r"3 vertices are not finite \(NaN or infinity\)"),
    ("a.obj", "v nan 0 0\nv 1 0 0\nv 0 inf 0\nf 1 2 3\n", r"2 vertices are not finite \(NaN or infinity\)"),
    ("a.stl.gz", b"\x1f\x8b\x08\x00abcdef", "an archive; unpack it and give the mesh file in it"),
    ("a.obj", b"PK\x03\x04abcdef", "an archive"),
    ("a.gltf", gltf("../secret.bin"), r"refers to '\.\./secret\.bin' outside of its folder; such files are not opened"),
    ("a.gltf", gltf("%2e%2e%2fsecret.bin"), "refers to '%2e%2e%2fsecret.bin' outside of its folder"),
    ("a.gltf", gltf("/etc/hostname"), "refers to '/etc/hostname' outside of its folder"),
    ("a.gltf", gltf("none.bin"), "refers to 'none.bin', which does not exist"),
    ("a.gltf", gltf("https://example.org/a.bin"), "which does not exist"),
    ("a.glb", packed_glb(json.loads(gltf("../secret.bin"))), "refers to '../secret.bin' outside of its folder"),
    ("a.glb", packed_glb(json.loads(gltf("/etc/hostname"))), "refers to '/etc/hostname' outside of its folder"),
]


@pytest.mark.parametrize(("name", "content", "complaint"), BAD_FILES)
def test_bad_files_are_named(name: str, content: str | bytes, complaint: str, tmp_path: Path):
    folder = tmp_path / "meshes"
    folder.mkdir()
    written(tmp_path, "secret.bin", bytes(36))
    path = written(folder, name, content)
    for read in (load_sketch_mesh, load_surface):
        with pytest.raises(UserError, match=complaint) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_a_binary_ply_may_have_polygons_of_several_sizes(tmp_path: Path):
    header = ply("0 0 0\n1 0 0\n1 1 0\n0 1 0", "0\n0").split("end_header")[0].replace("ascii", "binary_little_endian")
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], "<f4").tobytes()
    content = f"{header}end_header\n".encode() + points + struct.pack("<B3iB4i", 3, 0, 1, 2, 4, 0, 1, 2, 3)
    assert _read(tmp_path, "a.ply", content).faces.tolist() == [[0, 1, 2], [0, 1, 2], [0, 2, 3]]
    with pytest.raises(UserError, match=r"a\.ply: not a readable PLY file: .*early end-of-file"):
        _read(tmp_path, "a.ply", content[:-3])


def test_a_ply_may_have_texture_coordinates_at_its_faces_corners(tmp_path: Path):
    header = ply("0 0 0\n1 0 0\n1 1 0\n0 1 0", "").replace("element face 0", "element face 2")
    header = header.replace("end_header", "property list uchar float texcoord\nend_header").rstrip()
    mesh = _read(tmp_path, "a.ply", f"{header}\n3 0 1 2 6 0 0 .5 0 .5 1\n3 0 2 3 6 .5 0 1 1 .5 1\n")
    assert mesh.corner_uv is not None
    assert mesh.corner_uv.tolist() == [[[0, 0], [0.5, 0], [0.5, 1]], [[0.5, 0], [1, 1], [0.5, 1]]]
    assert mesh.corners[:, :, :2].tolist() == [[[0, 0], [1, 0], [1, 1]], [[0, 0], [1, 1], [0, 1]]]


def test_what_is_no_file(tmp_path: Path):
    for read in (load_sketch_mesh, load_surface):
        with pytest.raises(UserError, match=r"gone\.obj: no such file"):
            read(tmp_path / "gone.obj")
        with pytest.raises(UserError, match="not a file; give a mesh file"):
            read(tmp_path)


def test_archives_are_told(tmp_path: Path):
    mesh = (SQUARE + "f 1 2 3\n").encode()
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.obj", mesh)
    entry = tarfile.TarInfo("a.obj")
    entry.size = len(mesh)
    tars = [
        entry.tobuf(kind) + mesh.ljust(512, b"\0") + bytes(1024) for kind in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
    ]
    packed = [gzip.compress(tars[0]), bz2.compress(tars[0]), lzma.compress(tars[0])]
    for name in ("a.zip", "a.tar", "a.obj"):
        for content in (zipped.getvalue(), *tars, *packed):
            with pytest.raises(UserError, match=f"{name}: an archive; unpack it and give the mesh file in it"):
                checked_format(written(tmp_path, name, content))


def test_materials_and_pictures_are_never_opened(tmp_path: Path):
    """A pipe that nobody writes to would block whoever opened it."""
    for name in ("paint.mtl", "paint.png"):
        os.mkfifo(tmp_path / name)
    for name in ("paint.mtl", "../outside.mtl"):
        mesh = read_mesh(written(tmp_path, "a.obj", f"mtllib {name}\n{SQUARE}usemtl red\nf 1 2 3\nf 1 2 4\n"))
        assert len(mesh.faces) == 2
    for name in ("paint.png", "../outside.png"):
        textured = ply("0 0 0\n1 0 1\n0 1 0", "3 0 1 2").replace("element v", f"comment TextureFile {name}\nelement v")
        assert len(read_mesh(written(tmp_path, "a.ply", textured)).faces) == 1
        content = glb([triangle(0)])
        size = struct.unpack_from("<I", content, 12)[0]
        tree = json.loads(content[20 : 20 + size])
        tree["meshes"][0]["primitives"][0]["material"] = 0
        tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
        tree |= {"textures": [{"source": 0}], "images": [{"uri": name}]}
        assert len(read_mesh(written(tmp_path, "a.glb", packed_glb(tree, content[28 + size :]))).faces) == 1

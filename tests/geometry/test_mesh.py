"""Meshes from files: what is read, and what is said of files that cannot be."""

import json
import logging
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry.mesh import TriangleMesh, decimated, load_mesh

HUGE_PLY = "ply\nformat binary_little_endian 1.0\nelement vertex 99999999999\nproperty float x\nend_header\n"
SQUARE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\n"


def _written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def _ply(vertices: str, faces: str) -> str:
    n_vertices, n_faces = len(vertices.splitlines()), len(faces.splitlines())
    return (
        f"ply\nformat ascii 1.0\nelement vertex {n_vertices}\nproperty float x\nproperty float y\nproperty float z\n"
        f"element face {n_faces}\nproperty list uchar int vertex_indices\nend_header\n{vertices}\n{faces}\n"
    )


def _gltf(uri: str, bytes_: int = 36) -> str:
    return json.dumps(
        {
            "asset": {"version": "2.0"},
            "buffers": [{"uri": uri, "byteLength": bytes_}],
            "bufferViews": [{"buffer": 0, "byteLength": bytes_}],
            "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
            "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
            "nodes": [{"mesh": 0}],
            "scenes": [{"nodes": [0]}],
            "scene": 0,
        }
    )


def _volume(mesh: TriangleMesh) -> float:
    a, b, c = mesh.vertices[mesh.faces].transpose(1, 0, 2)
    return float((a * np.cross(b, c)).sum() / 6)


@pytest.mark.parametrize("kind", ["obj", "ply", "stl", "glb", "off"])
def test_a_box_of_every_format(kind: str, tmp_path: Path):
    box = trimesh.creation.box(extents=(1.0, 2.0, 3.0))
    path = tmp_path / f"box.{kind.upper()}"
    box.export(path, file_type=kind)
    mesh = load_mesh(path)
    assert len(mesh.faces) == 12
    assert _volume(mesh) == pytest.approx(6.0, rel=1e-5)
    assert mesh.bounds_volume()
    assert (mesh.vertices.dtype, mesh.faces.dtype) == (np.float64, np.int64)


def test_bodies_stand_where_the_scene_places_them(tmp_path: Path):
    ball = trimesh.creation.icosphere(radius=0.5)
    scene = trimesh.Scene()
    scene.add_geometry(ball, transform=trimesh.transformations.translation_matrix([2, 0, 0]))
    scene.add_geometry(ball.copy(), transform=np.diag([-1.0, 1.0, 3.0, 1.0]))  # mirrored and stretched
    scene.export(tmp_path / "two.glb")
    mesh = load_mesh(tmp_path / "two.glb")
    np.testing.assert_allclose(mesh.vertices.max(axis=0), [2.5, 0.5, 1.5], atol=1e-6)
    np.testing.assert_allclose(mesh.vertices.min(axis=0), [-0.5, -0.5, -1.5], atol=1e-6)
    assert _volume(mesh) == pytest.approx(4 * ball.volume, rel=1e-5), "the mirrored body still looks outward"


def test_a_gltf_reads_buffers_of_its_own_folder(tmp_path: Path):
    _written(tmp_path, "corners.bin", struct.pack("<9f", 0, 0, 0, 1, 0, 0, 0, 2, 0))
    mesh = load_mesh(_written(tmp_path, "one.gltf", _gltf("corners.bin")))
    assert mesh.vertices[mesh.faces[0]].tolist() == [[0, 0, 0], [1, 0, 0], [0, 2, 0]]


def test_equal_positions_are_merged_and_lost_faces_left_out():
    soup = TriangleMesh(
        np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 0]], dtype=float),
        np.array([[0, 1, 2], [4, 3, 5], [0, 6, 1]]),
    )
    merged = soup.merged()
    assert len(merged.vertices) == 4
    assert merged.vertices[merged.faces].tolist() == soup.vertices[soup.faces[:2]].tolist()


def test_closed_means_that_every_edge_has_two_sides():
    ball = trimesh.creation.icosphere(subdivisions=1)
    mesh = TriangleMesh(ball.vertices, ball.faces.astype(np.int64))
    assert mesh.bounds_volume()
    assert not TriangleMesh(mesh.vertices, mesh.faces[1:]).bounds_volume()
    soup = TriangleMesh(mesh.vertices[mesh.faces].reshape(-1, 3), np.arange(mesh.faces.size).reshape(-1, 3))
    assert soup.bounds_volume(), "vertices of their own for each face change nothing"
    turned = TriangleMesh(mesh.vertices, np.concatenate([mesh.faces[:1, ::-1], mesh.faces[1:]]))
    assert not turned.bounds_volume()


def test_decimation_keeps_the_shape():
    ball = trimesh.creation.icosphere(subdivisions=5)
    mesh = TriangleMesh(ball.vertices, ball.faces.astype(np.int64))
    few = decimated(mesh, 2000)
    assert len(few.faces) <= 2000
    assert _volume(few) == pytest.approx(_volume(mesh), rel=0.01)
    assert np.abs(np.linalg.norm(few.vertices, axis=1) - 1).max() < 0.01


def test_a_large_mesh_is_decimated_with_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    path = tmp_path / "ball.stl"
    trimesh.creation.icosphere(subdivisions=3).export(path)
    with caplog.at_level(logging.WARNING, "geometry.mesh"):
        mesh = load_mesh(path, most_faces=500)
    assert len(mesh.faces) <= 500
    assert caplog.messages == [f"{path}: 1,280 faces, decimated to 500"]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.obj", b"", "a.obj: the file is empty"),
        ("a.txt", b"hello", r"'.txt' is no mesh format that is read here; save it as obj, ply, stl"),
        ("a.obj", np.random.default_rng(0).bytes(4000), "a.obj: no faces in it"),
        ("a.ply", np.random.default_rng(0).bytes(4000), "a.ply: not a readable PLY file: "),
        ("a.stl", np.random.default_rng(0).bytes(4000), "a.stl: "),
        ("a.glb", np.random.default_rng(0).bytes(4000), "a.glb: not a readable GLB file: "),
        ("a.gltf", np.random.default_rng(0).bytes(4000), "a.gltf: "),
        ("a.off", np.random.default_rng(0).bytes(4000), "a.off: not a readable OFF file: "),
        ("a.obj", SQUARE, "no faces in it; a mesh of triangles is needed, not points or lines alone"),
        ("a.obj", SQUARE + "l 1 2\n", "no faces in it"),
        ("a.ply", HUGE_PLY, "a.ply: not a readable PLY file: "),
        ("a.obj", "v nan 0 0\nv 1 0 0\nv 0 inf 0\nf 1 2 3\n", r"a.obj: 2 vertices are not finite \(NaN or infinity\)"),
        ("a.obj", SQUARE + "f 1 2 9\n", "face indices out of range: a face names a vertex that the file does not have"),
        ("a.obj", SQUARE + "f 1 2 3\nf 2 0 1\n", "face indices out of range: line 6 names vertex 0, OBJ counts from 1"),
        ("a.obj", SQUARE + "f 1/1 2/1 0/1\n", "face indices out of range: line 5"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "face indices out of range"),
        ("a.ply", _ply("0 0 0\n1 1 1\n0 1 0", "3 0 1 8"), "face indices out of range"),
        ("a.ply", _ply("0 0 0\n1 1 1\n0 1 0", "3 0 1 -1"), "face indices out of range"),
        ("a.obj", "v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "zero extent: all of its vertices lie in one point"),
        ("a.stl.gz", b"\x1f\x8b\x08\x00abcdef", "an archive; unpack it and give the mesh file in it"),
        ("a.obj", b"PK\x03\x04abcdef", "an archive"),
        ("a.gltf", _gltf("../secret.bin"), r"refers to '\.\./secret\.bin' outside of its folder, which is not opened"),
        ("a.gltf", _gltf("/etc/hostname"), "refers to '/etc/hostname' outside of its folder"),
        ("a.gltf", _gltf("none.bin"), "refers to 'none.bin', which is not there"),
        ("a.gltf", _gltf("https://example.org/a.bin"), "which is not there"),
    ],
)
def test_bad_files_are_named(name: str, content: str | bytes, complaint: str, tmp_path: Path):
    with pytest.raises(UserError, match=complaint) as caught:
        load_mesh(_written(tmp_path, name, content))
    assert str(tmp_path / name) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_file(tmp_path: Path):
    with pytest.raises(UserError, match=r"gone\.obj: no such file"):
        load_mesh(tmp_path / "gone.obj")
    with pytest.raises(UserError, match="not a file; give a mesh file"):
        load_mesh(tmp_path)


def test_an_archive_of_meshes(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.obj", SQUARE + "f 1 2 3\n")
    with pytest.raises(UserError, match="an archive"):
        load_mesh(tmp_path / "a.zip")


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path):
    folder = tmp_path / "meshes"
    folder.mkdir()
    _written(tmp_path, "secret.bin", bytes(36))
    (folder / "corners.bin").symlink_to(tmp_path / "secret.bin")
    with pytest.raises(UserError, match="outside of its folder"):
        load_mesh(_written(folder, "a.gltf", _gltf("corners.bin")))


def test_materials_are_never_opened(tmp_path: Path):
    """A pipe that nobody writes to would block whoever opened it."""
    os.mkfifo(tmp_path / "paint.mtl")
    for name in ("paint.mtl", "../outside.mtl"):
        mesh = load_mesh(_written(tmp_path, "a.obj", f"mtllib {name}\n{SQUARE}usemtl red\nf 1 2 3\nf 1 2 4\n"))
        assert len(mesh.faces) == 2
    textured = _ply("0 0 0\n1 1 1\n0 1 0", "3 0 1 2").replace(
        "element vertex", "comment TextureFile ../a.png\nelement vertex"
    )
    assert len(load_mesh(_written(tmp_path, "a.ply", textured)).faces) == 1

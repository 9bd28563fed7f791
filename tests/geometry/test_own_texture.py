"""Textures that files bring along, and those that cannot be read."""

import io
import json
import struct
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.exchange.gltf import export_gltf
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from core.errors import UserError
from geometry.mesh_file import read_mesh
from geometry.own_texture import read_given_texture
from tests.geometry.only_texture import read_own_texture
from tests.geometry.small_meshes import glb, packed_glb, triangle, written
from tests.geometry.test_textured_mesh import sheet

PICTURE = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
MATERIAL = "newmtl a\nKd 1 1 1\nmap_Kd -s 1 1 {}\n"


def png(picture: np.ndarray = PICTURE) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return file.getvalue()


def huge_png(side: int) -> bytes:
    """A PNG that says it is side x side, in a few bytes."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def obj(folder: Path, picture: str = "a.png", materials: str | None = None) -> Path:
    path = sheet(folder / "sheet.obj")
    path.write_text("mtllib sheet.mtl\nusemtl a\n" + path.read_text())
    (folder / "sheet.mtl").write_text(materials or MATERIAL.format(picture))
    return path


def textured(folder: Path, suffix: str) -> Path:
    """The sheet with the picture, written by trimesh."""
    mesh: Any = trimesh.load(sheet(folder / "plain.obj"), process=False, force="mesh")
    image = Image.fromarray(PICTURE)
    material = PBRMaterial(baseColorTexture=image)
    mesh.visual = TextureVisuals(uv=mesh.visual.uv, material=material)
    path = folder / f"sheet{suffix}"
    mesh.export(path)
    return path


@pytest.mark.parametrize("suffix", [".glb", ".gltf"])
def test_a_gltf_files_picture_is_read(tmp_path: Path, suffix: str):
    path = textured(tmp_path, suffix) if suffix == ".glb" else tmp_path / "x.gltf"
    if suffix == ".gltf":
        files = export_gltf(trimesh.load_scene(textured(tmp_path, ".glb"), process=False))
        for name, content in files.items():
            (tmp_path / (path.name if name.endswith(".gltf") else name)).write_bytes(content)
    found = read_own_texture(read_mesh(path), 8)
    assert torch.equal((found * 255).round().byte(), torch.from_numpy(PICTURE))


def textured_glb(folder: Path, image: dict[str, Any], **changes: Any) -> Path:
    """A GLB whose picture lies in another file."""
    content = glb([triangle(0)])
    size = struct.unpack_from("<I", content, 12)[0]
    tree = json.loads(content[20 : 20 + size])
    tree["meshes"][0]["primitives"][0]["material"] = 0
    tree["materials"] = [{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}]
    tree |= {"textures": [{"source": 0}], "images": [image]} | changes
    return written(folder, "a.glb", packed_glb(tree, content[28 + size :]))


def test_a_gltf_names_its_picture_by_a_uri(tmp_path: Path):
    (tmp_path / "my tex.png").write_bytes(png())
    found = read_own_texture(read_mesh(textured_glb(tmp_path, {"uri": "my%20tex.png"})), 8)
    assert torch.equal((found * 255).round().byte(), torch.from_numpy(PICTURE))


@pytest.mark.parametrize("uri", ["../a.png", "%2e%2e%2fa.png", "deeper/../../a.png", "/etc/hostname"])
def test_a_picture_outside_of_a_glbs_folder_is_never_opened(tmp_path: Path, uri: str):
    (tmp_path / "mesh").mkdir()
    (tmp_path / "a.png").write_bytes(png())
    file = read_mesh(textured_glb(tmp_path / "mesh", {"uri": uri}))
    with pytest.raises(UserError, match=r"a\.glb: refers to '.*' outside of its folder; such files are not opened"):
        read_own_texture(file, 8)


@pytest.mark.parametrize(
    ("image", "changes"),
    [
        ({}, {}),
        ({"uri": 7}, {}),
        ({"bufferView": 99}, {}),
        ({"uri": "a.png"}, {"textures": 3}),
        ({"uri": "a.png"}, {"textures": []}),
        ({"uri": "a.png"}, {"materials": [1]}),
        ({"uri": "a.png"}, {"images": {}}),
    ],
)
def test_materials_of_another_shape_are_told(tmp_path: Path, image: dict[str, Any], changes: dict[str, Any]):
    with pytest.raises(UserError, match=r"a\.glb: .*(its materials refer to textures that are not there|do not fit)"):
        read_own_texture(read_mesh(textured_glb(tmp_path, image, **changes)), 8)


def test_an_obj_files_picture_is_read_and_brought_to_size(tmp_path: Path):
    (tmp_path / "a.png").write_bytes(png())
    found = read_own_texture(read_mesh(obj(tmp_path)), 4)
    means = PICTURE.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3)) / 255
    torch.testing.assert_close(found, torch.from_numpy(means).float(), atol=1 / 255, rtol=0)


def test_a_ply_files_picture_is_read(tmp_path: Path):
    from exporters.mesh_files import write_mesh

    flat = read_mesh(sheet(tmp_path / "plain.obj"))
    path, *_ = write_mesh(tmp_path / "sheet.ply", replace(flat, texture=PICTURE), {})
    assert torch.equal((read_own_texture(read_mesh(path), 8) * 255).round().byte(), torch.from_numpy(PICTURE))


@pytest.mark.parametrize(
    ("picture", "content", "complaint"),
    [
        ("none.png", b"", "refers to 'none.png', which does not exist"),
        ("../a.png", png(), r"refers to '\.\./a\.png' outside of its folder; such files are not opened"),
        ("a.png", b"no picture at all", "its texture 'a.png': cannot be read as a picture"),
        ("a.png", png()[:60], "its texture 'a.png': cannot be read as a picture"),
        ("a.png", huge_png(60_000), "its texture 'a.png': .*at most 16384.* along a side; scale it down"),
        ("a.png", huge_png(13_000), "its texture 'a.png': 13000 x 13000 pixels, at most 16384 along a side; scale it"),
    ],
)
def test_pictures_that_cannot_be_read_are_told(tmp_path: Path, picture: str, content: bytes, complaint: str):
    folder = tmp_path / "mesh"
    folder.mkdir()
    if content:
        (folder / picture).write_bytes(content)
    with pytest.raises(UserError, match=rf"sheet\.obj: {complaint}"):
        read_own_texture(read_mesh(obj(folder, picture)), 16)


def test_none_is_told(tmp_path: Path):
    with pytest.raises(UserError, match=r"plain\.obj: it has no texture to start from; use system\.geometry\.start="):
        read_own_texture(read_mesh(sheet(tmp_path / "plain.obj")), 16)


def test_broken_embedded_data_is_told(tmp_path: Path):
    path = textured(tmp_path, ".glb")
    files = export_gltf(trimesh.load_scene(path, process=False), embed_buffers=True)
    text = next(content for name, content in files.items() if name.endswith(".gltf")).decode()
    whole = tmp_path / "a.gltf"
    whole.write_text(text)
    assert read_own_texture(read_mesh(whole), 8).shape == (8, 8, 3)
    begin = text.index("base64,") + 7
    whole.write_text(text[:begin] + "*" + text[begin + 1 :])
    with pytest.raises(UserError, match=r"a\.gltf: "):
        read_own_texture(read_mesh(whole), 8)


def test_a_picture_of_the_users_takes_the_place_of_the_files_own(tmp_path: Path):
    own = obj(tmp_path)
    (tmp_path / "a.png").write_bytes(png())
    other = tmp_path / "other.png"
    other.write_bytes(png(255 - PICTURE))
    given = read_given_texture(read_mesh(own), other, 8)
    assert torch.equal(given, torch.from_numpy((255 - PICTURE).astype(np.float32) / 255))
    with pytest.raises(UserError, match=r"gone\.png: cannot be read: No such file"):
        read_given_texture(read_mesh(own), tmp_path / "gone.png", 8)
    plain = tmp_path / "plain.obj"
    plain.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(UserError, match=r"plain\.obj: has no texture coordinates to lay .*other\.png on"):
        read_given_texture(read_mesh(plain), other, 8)

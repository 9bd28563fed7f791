"""glTF files that are compressed: buffer views of meshoptimizer, pictures in KTX2; Draco's are in test_gltf.py."""

import base64
import json
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from exporters.gltf_additions import as_binary
from exporters.gltf_in_place import with_base_colour
from geometry.mesh_file import read_mesh
from tests.cases.test_gltf import PLAIN, colours, painted_square, read
from tests.geometry.gltf_builder import SQUARE, SQUARE_FACES, GltfBuilder
from tests.geometry.only_texture import read_own_texture

NAMES = ("EXT_meshopt_compression", "KHR_meshopt_compression")
WITHOUT = "requirements-gltf.txt is not installed"
#: The picture FOUR of test_gltf.py, each of its texels 4 x 4, as Basis Universal's own encoder (2.50) writes it.
ETC1S = (
    "eNpb7R0SoWBksJuXS4qLAQgYgZgDimGAEQlnALEOEE8BYhUg3gFV0wmlHRkhNBMDKtBhgIlrMCxmZGJgZka2wx7O+g8E8kAa6KzyosyS1CIGp8"
    "TizGKF0LzMstSi4sQcBSM9QwMGBhagSdpAdZxArItmF7LdCgdcIIxHLCwGgmBWg4oAgxpEUICpgRPCYjEwW7Nq1aqg0NBQVoaDUD2f4nsZZkA8"
    "5HCIw0DRAaxyYjAXXL8DgwAbACwiJNA="
)
UASTC = (
    "eNpb7R0SoWBksJuXS4qLAQgYgZgDimGAEYpBIAOIdYB4CpRGBwegtAMaDVPLxKDBsIyRiYGZmYFBAK6rHs76DwTyQBrorPKizJLUIganxOLMYo"
    "XQvMyy1KLixBwFIz1DAwYGFpAuoLbv8gwP5KsQ9os/kH8gz8SP4DM8+C/P9ADmfIbvIPNr3sP5ACBII98="
)


def packed_square(name: str = NAMES[0], mode: str = "TRIANGLES", filtered: bool = False) -> GltfBuilder:
    """The square with all of its numbers compressed, and nowhere else."""
    meshopt = pytest.importorskip("meshopt", reason=WITHOUT)
    builder = GltfBuilder(extensionsUsed=[name], extensionsRequired=[name])
    tree, size = builder.tree, 0
    listed = np.array([0, 1, 3, 2] if mode == "INDICES" else SQUARE_FACES, "<u2")
    columns = [(SQUARE, "ATTRIBUTES", "VEC3"), (SQUARE[:, :2].copy(), "ATTRIBUTES", "VEC2"), (listed, mode, "SCALAR")]
    for rows, way, kind in columns:
        is_filtered = filtered and kind == "VEC3"
        data = meshopt.encode_filter_exp(rows, 15) if is_filtered else rows
        content = meshopt.encode_gltf_buffer(data, way)
        stride = rows.itemsize * (rows.shape[1] if rows.ndim > 1 else 1)
        view = builder.view(content)
        place = {"buffer": 0, "byteOffset": tree["bufferViews"][view]["byteOffset"], "byteLength": len(content)}
        packed = {**place, "byteStride": stride, "count": len(rows), "mode": way}
        packed |= {"filter": "EXPONENTIAL"} if is_filtered else {}
        plain = {"buffer": 1, "byteOffset": size, "byteLength": stride * len(rows)}
        tree["bufferViews"][view] = {**plain, "extensions": {name: packed}}
        size += plain["byteLength"] + -plain["byteLength"] % 4
        component = 5126 if way == "ATTRIBUTES" else 5123
        tree["accessors"].append({"bufferView": view, "componentType": component, "type": kind, "count": len(rows)})
    primitive = {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2, "mode": 5 if mode == "INDICES" else 4}
    tree["meshes"] = [{"primitives": [primitive]}]
    builder.scene({"mesh": 0})
    about = [{"byteLength": len(builder.data)}, {"byteLength": size, "extensions": {name: {"fallback": True}}}]
    tree["buffers"] = about
    return builder


def written(folder: Path, builder: GltfBuilder) -> Path:
    """As .gltf, with the compressed bytes in its JSON."""
    tree = json.loads(json.dumps(builder.tree))
    tree["buffers"][0]["uri"] = builder.uri()
    (folder / "a.gltf").write_text(json.dumps(tree))
    return folder / "a.gltf"


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize("mode", ["TRIANGLES", "INDICES"])
@pytest.mark.parametrize("name", NAMES)
def test_compressed_views_are_unpacked(tmp_path: Path, name: str, mode: str, filtered: bool):
    mesh = read_mesh(written(tmp_path, packed_square(name, mode, filtered)))
    faces = [[0, 1, 3], [1, 2, 3]] if mode == "INDICES" else SQUARE_FACES.reshape(-1, 3)
    np.testing.assert_array_equal(mesh.corners, SQUARE[faces])
    np.testing.assert_array_equal(mesh.uv_with(v_down=True), SQUARE[:, :2])


@pytest.mark.parametrize("keeps_uv", [True, False])
@pytest.mark.parametrize("suffix", ["gltf", "glb"])
def test_a_painted_file_stays_compressed(tmp_path: Path, suffix: str, keeps_uv: bool):
    before = read_mesh(written(tmp_path, packed_square()))
    source = before.file.document if suffix == "gltf" else as_binary(before.file.document)
    laid = [(np.zeros((8, 8, 3), np.uint8), np.arange(2), keeps_uv)]
    made = with_base_colour(source, before, laid, np.random.default_rng(0).random((2, 3, 2)))
    after = read_mesh(made.save(tmp_path / f"mesh.{suffix}")[0])
    np.testing.assert_array_equal(after.corners, before.corners)
    old, new = before.file.document.tree, after.file.document.tree
    for was, now in zip(old["bufferViews"], new["bufferViews"], strict=False):
        assert now["extensions"][NAMES[0]] == was["extensions"][NAMES[0]]
        assert new["buffers"][now["buffer"]] == old["buffers"][1], "its plain bytes are nowhere"


def test_plain_bytes_are_read_where_the_file_has_them_too(tmp_path: Path):
    """Not required: the view's own buffer is whole, and what its extension says may be anything."""
    builder = GltfBuilder(extensionsUsed=[NAMES[0]])
    builder.tree["meshes"] = [{"primitives": [builder.square()]}]
    builder.scene({"mesh": 0})
    about = {"buffer": 0, "byteLength": 4, "byteStride": 12, "count": 4, "mode": "ATTRIBUTES"}
    builder.tree["bufferViews"][0]["extensions"] = {NAMES[0]: about}
    np.testing.assert_array_equal(read(tmp_path, builder).vertices, SQUARE)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"count": 2**40}, "a compressed view has 1,099,511,627,776 elements of 12 bytes; 268,435,456 bytes are"),
        ({"count": -4}, "a compressed view has -4 elements"),
        ({"byteStride": 0}, "elements of 0 bytes"),
        ({"byteStride": 10}, "a row must be 4 to 256 bytes"),
        ({"byteLength": 7}, "not a readable GLTF file"),
        ({"byteLength": 10**6}, "bufferView 0 reaches beyond its buffer"),
        ({"mode": "STRIPS"}, "mode must be"),
        ({"filter": "BLUR"}, "filter must be"),
        ({"mode": "TRIANGLES"}, "not a readable GLTF file"),
    ],
)
def test_what_a_compressed_view_says_is_checked(tmp_path: Path, changes: dict[str, Any], told: str):
    builder = packed_square()
    builder.tree["bufferViews"][0]["extensions"][NAMES[0]] |= changes
    with pytest.raises(UserError, match=told) as caught:
        read_mesh(written(tmp_path, builder))
    assert "\n" not in str(caught.value)


def test_all_views_together_may_become_so_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("geometry.gltf_file.MOST_UNPACKED", 48 + 31)
    with pytest.raises(UserError, match="a compressed view has 4 elements of 8 bytes; 19 bytes are unpacked"):
        read_mesh(written(tmp_path, packed_square()))


def with_ktx2(content: bytes) -> GltfBuilder:
    builder = painted_square(extensionsRequired=["KHR_texture_basisu"])
    builder.tree["textures"] = [{"extensions": {"KHR_texture_basisu": {"source": 1}}}]
    builder.tree["images"].append({"bufferView": builder.view(content), "mimeType": "image/ktx2"})
    return builder


def unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


@pytest.mark.parametrize("text", [ETC1S, UASTC])
def test_pictures_in_ktx2_are_read(tmp_path: Path, text: str):
    pytest.importorskip("opengl_basisu", reason=WITHOUT)
    mesh = read(tmp_path, with_ktx2(unpacked(text)))
    np.testing.assert_allclose(colours(mesh, 8), PLAIN, atol=0.011)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda content: content[:60], "cannot be read as a picture"),
        (lambda content: content[:200], "cannot be read as a picture"),
        (lambda content: content[:20] + b"\xff\xff\xff\x7f" * 2 + content[28:], r"at most 16384|as a picture"),
    ],
)
def test_a_broken_picture_in_ktx2_is_told(tmp_path: Path, change: Any, told: str):
    pytest.importorskip("opengl_basisu", reason=WITHOUT)
    with pytest.raises(UserError, match=told) as caught:
        read_own_texture(read(tmp_path, with_ktx2(change(unpacked(UASTC)))), 8)
    assert "\n" not in str(caught.value)


def test_a_plain_picture_is_read_before_a_packed_one(tmp_path: Path):
    builder = with_ktx2(b"nothing")
    builder.tree["textures"][0]["source"] = 0
    assert colours(read(tmp_path, builder)) == PLAIN


@pytest.mark.parametrize(
    ("package", "told"),
    [
        ("meshopt", "it is compressed (EXT_meshopt_compression)"),
        ("opengl_basisu", "its texture 'image 1': it is compressed (KHR_texture_basisu)"),
    ],
)
def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str, told: str):
    builder = packed_square() if package == "meshopt" else with_ktx2(unpacked(UASTC))
    monkeypatch.setitem(sys.modules, package, None)
    path = written(tmp_path, builder) if package == "meshopt" else tmp_path / "a.glb"
    with pytest.raises(UserError) as caught:
        read_own_texture(read_mesh(path) if package == "meshopt" else read(tmp_path, builder), 8)
    assert str(caught.value) == f"{path}: {told}; pip install -r requirements-gltf.txt, or save it without compression"

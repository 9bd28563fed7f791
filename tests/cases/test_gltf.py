"""glTF files of every kind that people bring, written by hand: where each surface lies, and what colour it has."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import UserError
from geometry.mesh import Mesh, area_vectors
from geometry.mesh_file import read_mesh
from geometry.texels import sampled
from tests.exporters.test_gltf_in_place import painted
from tests.geometry.gltf_builder import SQUARE, SQUARE_FACES, GltfBuilder, encoded
from tests.geometry.only_texture import read_own_texture

#: Red, green; blue, white: rows from the top.
FOUR = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
TURN = [0, 0, float(np.sqrt(0.5)), float(np.sqrt(0.5))]  # a quarter about z: x becomes y


def read(folder: Path, builder: GltfBuilder) -> Mesh:
    path = folder / "a.glb"
    path.write_bytes(builder.glb())
    return read_mesh(path)


def box(mesh: Mesh) -> list[list[float]]:
    """Least and largest coordinates of what faces use."""
    return [mesh.corners.min(axis=(0, 1)).round(6).tolist(), mesh.corners.max(axis=(0, 1)).round(6).tolist()]


def area(mesh: Mesh) -> float:
    return float(np.linalg.norm(area_vectors(mesh.corners), axis=1).sum() / 2)


def one_square(**primitive: Any) -> GltfBuilder:
    builder = GltfBuilder()
    builder.tree["meshes"] = [{"primitives": [builder.square(**primitive)]}]
    builder.scene({"mesh": 0})
    return builder


@pytest.mark.parametrize(
    ("kind", "normalized", "scale"),
    [("i1", True, 127), ("u1", True, 255), ("<i2", True, 32767), ("<u2", True, 65535), ("<i2", False, 1)],
)
def test_quantised_positions_and_texture_coordinates(tmp_path: Path, kind: str, normalized: bool, scale: int):
    builder = GltfBuilder(extensionsUsed=["KHR_mesh_quantization"], extensionsRequired=["KHR_mesh_quantization"])
    corners = (SQUARE * scale).astype(kind)
    attributes = {
        "POSITION": builder.position(corners, normalized=normalized),
        "TEXCOORD_0": builder.add(corners[:, :2].copy(), normalized=normalized),
    }
    builder.tree["meshes"] = [{"primitives": [{"attributes": attributes, "indices": builder.add(SQUARE_FACES)}]}]
    builder.scene({"mesh": 0, "scale": [2, 1, 1]}, {"mesh": 0, "scale": [0.5, 0.5, 0.5], "translation": [3, 0, 0]})
    mesh = read(tmp_path, builder)
    assert box(mesh) == [[0, 0, 0], [3.5, 1, 0]]
    assert area(mesh) == pytest.approx(2.25)
    assert mesh.uv is not None
    np.testing.assert_array_equal(mesh.uv[:4], SQUARE[:, :2])


def test_gpu_instances_stand_where_each_is_placed(tmp_path: Path):
    builder = one_square()
    turns = np.array([[0, 0, 0, 127], [0, 0, 90, 90]], "i1")
    instances = {
        "TRANSLATION": builder.add(np.array([[0, 0, 0], [10, 0, 0]], "<f4")),
        "ROTATION": builder.add(turns, normalized=True),
        "SCALE": builder.add(np.array([[1, 1, 1], [2, 3, 1]], "<f4")),
    }
    node = {"mesh": 0, "translation": [0, 0, 5], "extensions": {"EXT_mesh_gpu_instancing": {"attributes": instances}}}
    builder.scene(node)
    builder.tree |= {"extensionsUsed": ["EXT_mesh_gpu_instancing"], "extensionsRequired": ["EXT_mesh_gpu_instancing"]}
    mesh = read(tmp_path, builder)
    assert len(mesh.faces) == 4
    assert area(mesh) == pytest.approx(1 + 6)
    second = mesh.corners[2:]
    np.testing.assert_allclose([second.min((0, 1)), second.max((0, 1))], [[7, 0, 5], [10, 2, 5]], atol=1e-6)
    assert mesh.file.first_copy().tolist() == [0, 1, 0, 1]


def test_the_pose_is_the_joints_and_the_nodes_own_transform_plays_no_part(tmp_path: Path):
    """A character as common exporters write it: its node 100 times as large, its one joint turned."""
    joints, weights = np.zeros((4, 4), "u1"), np.tile(np.array([[1, 0, 0, 0]], "<f4"), (4, 1))
    builder = GltfBuilder()
    attributes = {"JOINTS_0": builder.add(joints), "WEIGHTS_0": builder.add(weights)}
    builder.tree["meshes"] = [{"primitives": [builder.square(attributes=attributes)]}]
    builder.tree["skins"] = [{"joints": [2]}]
    builder.scene({"mesh": 0, "skin": 0, "scale": [100, 100, 100]}, {"children": [2], "translation": [0, 0, 7]}, {})
    builder.tree["nodes"][2] = {"rotation": TURN}
    builder.tree["scenes"] = [{"nodes": [0, 1]}]
    mesh = read(tmp_path, builder)
    assert box(mesh) == [[-1, 0, 7], [0, 1, 7]]
    builder.tree["scenes"] = [{"nodes": [0]}]  # joints need not be in the scene that is shown
    assert box(read(tmp_path, builder)) == [[-1, 0, 7], [0, 1, 7]]


def test_a_vertex_follows_its_joints_by_their_weights(tmp_path: Path):
    """Two joints, moved by 4 and by 8 along x; the bind pose is 1 up; one vertex has no weight at all."""
    shares = np.array([[255, 0, 0, 0], [0, 255, 0, 0], [127, 128, 0, 0], [0, 0, 0, 0]], "u1")
    joints = np.tile(np.array([[0, 1, 0, 0]], "<u2"), (4, 1))
    bind = np.tile(np.eye(4, dtype="<f4"), (2, 1, 1))
    bind[:, 3, 1] = -1
    builder = GltfBuilder()
    attributes = {"JOINTS_0": builder.add(joints), "WEIGHTS_0": builder.add(shares, normalized=True)}
    builder.tree["meshes"] = [{"primitives": [builder.square(attributes=attributes)]}]
    builder.tree["skins"] = [{"joints": [1, 2], "inverseBindMatrices": builder.add(bind)}]
    builder.scene({"mesh": 0, "skin": 0}, {"translation": [4, 1, 0]}, {"translation": [8, 1, 0]})
    moved = np.array([4, 8, 4 * 127 / 255 + 8 * 128 / 255, 4])
    np.testing.assert_allclose(read(tmp_path, builder).vertices, SQUARE + moved[:, None] * [1, 0, 0], atol=1e-6)


def test_morph_weights_of_the_node_come_before_the_meshs(tmp_path: Path):
    builder = GltfBuilder()
    up = np.tile(np.array([[0, 0, 2]], "<f4"), (4, 1))
    bounds = {"min": [0, 0, 0], "max": [0, 8, 0]}
    aside = builder.sparse(4, [2], np.array([[0, 8, 0]], "<f4"), **bounds)
    targets = [{"POSITION": builder.position(up)}, {"POSITION": aside}]
    builder.tree["meshes"] = [{"primitives": [builder.square(targets=targets)], "weights": [0.5, 0.25]}]
    builder.scene({"mesh": 0})
    expected = np.add(SQUARE, [0, 0, 1])
    expected[2, 1] += 2
    np.testing.assert_array_equal(read(tmp_path, builder).vertices, expected)
    builder.scene({"mesh": 0, "weights": [1, 0]})
    np.testing.assert_array_equal(read(tmp_path, builder).vertices, np.add(SQUARE, [0, 0, 2]))
    builder.tree["meshes"][0].pop("weights")
    builder.scene({"mesh": 0})
    np.testing.assert_array_equal(read(tmp_path, builder).vertices, SQUARE)


def test_of_several_scenes_the_default_is_read_and_that_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    builder = one_square()
    builder.scene({"mesh": 0}, {"mesh": 0, "translation": [5, 0, 0]})
    builder.tree |= {"scenes": [{"nodes": [0]}, {"nodes": [1]}], "scene": 1}
    with caplog.at_level("INFO"):
        assert box(read(tmp_path, builder)) == [[5, 0, 0], [6, 1, 0]]
    assert "of its 2 scenes, number 1 is read" in caplog.text
    for name in ("scenes", "scene"):
        builder.tree.pop(name)
    assert box(read(tmp_path, builder)) == [[0, 0, 0], [6, 1, 0]], "without scenes all nodes count"


def painted_square(info: dict[str, Any] | None = None, **more: Any) -> GltfBuilder:
    """A square with a picture; `info` goes into what its material says of the texture."""
    builder = one_square(material=0)
    builder.image(FOUR)
    coat = {"baseColorTexture": {"index": 0, **(info or {})}, **more.pop("coat", {})}
    builder.tree |= {"textures": [{"source": 0}], "materials": [{"pbrMetallicRoughness": coat}], **more}
    return builder


def colours(mesh: Mesh, size: int = 2) -> list[list[float]]:
    """What the square shows near its lower left, lower right, upper right and upper left corner."""
    picture = read_own_texture(mesh, size).numpy()
    assert mesh.uv is not None
    uv = mesh.uv_with(v_down=False)[:4].astype(float)
    inner = uv + 0.25 * (uv.mean(axis=0) - uv) * 2
    return sampled(picture, inner).round(2).tolist()


PLAIN = [[0, 0, 1], [1, 1, 1], [0, 1, 0], [1, 0, 0]]


def test_colours_lie_where_texture_coordinates_say(tmp_path: Path):
    assert colours(read(tmp_path, painted_square())) == PLAIN


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        ({"offset": [0.5, 0]}, [PLAIN[1], PLAIN[0], PLAIN[3], PLAIN[2]]),
        # By a quarter, counter-clockwise in the texture as it is looked at: (u, v) becomes (v, -u).
        ({"rotation": float(np.pi / 2)}, [PLAIN[1], PLAIN[2], PLAIN[3], PLAIN[0]]),
        ({"scale": [-1, 1]}, [PLAIN[1], PLAIN[0], PLAIN[3], PLAIN[2]]),
    ],
)
def test_texture_transforms_move_the_colours(tmp_path: Path, transform: dict[str, Any], expected: list[list[float]]):
    info = {"extensions": {"KHR_texture_transform": transform}}
    assert colours(read(tmp_path, painted_square(info=info, extensionsRequired=["KHR_texture_transform"]))) == expected


def test_a_transform_that_is_none_is_told(tmp_path: Path):
    for transform in ({"offset": [[1, 2], [3, 4]]}, {"rotation": [1, 2]}, {"scale": [1]}):
        builder = painted_square(info={"extensions": {"KHR_texture_transform": transform}})
        with pytest.raises(UserError, match=r"a\.glb: not a readable GLB file: its parts do not fit together"):
            read(tmp_path, builder)


def test_a_transform_is_scaled_first_then_turned_then_moved(tmp_path: Path):
    turn = 0.3
    transform = {"offset": [0.1, 0.2], "scale": [2, 3], "rotation": turn}
    mesh = read(tmp_path, painted_square(info={"extensions": {"KHR_texture_transform": transform}}))
    u, v = np.array([[0, 1], [1, 1], [1, 0], [0, 0]]).T * [[2], [3]]
    expected = [np.cos(turn) * u + np.sin(turn) * v + 0.1, -np.sin(turn) * u + np.cos(turn) * v + 0.2]
    np.testing.assert_allclose(mesh.uv_with(v_down=True), np.stack(expected, axis=-1), atol=1e-6)


@pytest.mark.parametrize("how", ["plain", "transform"])
def test_a_texture_may_take_the_second_set(tmp_path: Path, how: str):
    info = {"texCoord": 1}
    if how == "transform":
        info = {"texCoord": 0, "extensions": {"KHR_texture_transform": {"texCoord": 1}}}
    builder = painted_square(info=info)
    other = np.array([[1, 1], [0, 1], [0, 0], [1, 0]], "<f4")
    builder.tree["meshes"][0]["primitives"][0]["attributes"]["TEXCOORD_1"] = builder.add(other)
    assert colours(read(tmp_path, builder)) == [PLAIN[i] for i in (1, 0, 3, 2)]
    assert read(tmp_path, builder).uv_with(v_down=True).tolist() == other.tolist()


def test_a_set_that_is_not_there_is_told(tmp_path: Path):
    mesh = read(tmp_path, painted_square(info={"texCoord": 1}))
    with pytest.raises(UserError, match=r"no texture to start from \(a texture of its wants TEXCOORD_1, which is not"):
        read_own_texture(mesh, 2)


def test_the_factor_multiplies_light_not_numbers(tmp_path: Path):
    mesh = read(tmp_path, painted_square(coat={"baseColorFactor": [0.5, 0, 1, 0.3]}))
    half = 0.735357  # sRGB of half the light of white
    np.testing.assert_allclose(colours(mesh), np.array(PLAIN) * [half, 0, 1], atol=0.006)


def test_webp_and_grey_of_16_bits_are_read(tmp_path: Path):
    builder = painted_square(extensionsRequired=["EXT_texture_webp"])
    builder.image(FOUR, "webp")
    builder.tree["textures"] = [{"extensions": {"EXT_texture_webp": {"source": 1}}}]
    assert colours(read(tmp_path, builder)) == PLAIN
    grey = np.array([[0, 65535], [32768, 16384]], np.uint16)
    image = {"bufferView": builder.view(encoded(grey)), "mimeType": "image/png"}
    builder.tree |= {"images": [image], "textures": [{"source": 0}]}
    expected = np.repeat([[0.5], [0.25], [1], [0]], 3, axis=1)
    np.testing.assert_allclose(colours(read(tmp_path, builder)), expected, atol=0.01)


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path):
    builder = painted_square(extensionsRequired=["KHR_texture_transform"])
    builder.tree["textures"] = [{"extensions": {"MSFT_texture_dds": {"source": 0}}}]
    with pytest.raises(UserError, match="its texture needs MSFT_texture_dds, which is not read; save it as PNG"):
        read_own_texture(read(tmp_path, builder), 2)


def test_glossy_materials_say_their_colour_elsewhere(tmp_path: Path):
    builder = painted_square()
    glossy = {"diffuseTexture": {"index": 0}, "diffuseFactor": [1, 1, 0, 1]}
    builder.tree["materials"] = [{"extensions": {"KHR_materials_pbrSpecularGlossiness": glossy}}]
    assert colours(read(tmp_path, builder)) == (np.array(PLAIN) * [1, 1, 0]).tolist()


def draco_square() -> GltfBuilder:
    """The square, compressed."""
    draco = pytest.importorskip("DracoPy", reason="requirements-gltf.txt is not installed")
    faces, uv = SQUARE_FACES.reshape(-1, 3).astype(np.uint32), SQUARE[:, :2].astype(float)
    packed = draco.encode(SQUARE, faces=faces, preserve_order=True, quantization_bits=16, tex_coord=uv)
    numbers = {each["attribute_type"]: each["unique_id"] for each in draco.decode(packed).attributes}
    names = ["KHR_draco_mesh_compression"]
    builder = GltfBuilder(extensionsUsed=names, extensionsRequired=names)
    builder.tree["accessors"] = [
        {"componentType": 5126, "count": 4, "type": "VEC3", "min": [0, 0, 0], "max": [1, 1, 0]},
        {"componentType": 5126, "count": 4, "type": "VEC2"},
        {"componentType": 5123, "count": 6, "type": "SCALAR"},
    ]
    about = {"bufferView": builder.view(packed), "attributes": {"POSITION": numbers[0], "TEXCOORD_0": numbers[3]}}
    primitive = {"attributes": {"POSITION": 0, "TEXCOORD_0": 1}, "indices": 2}
    builder.tree["meshes"] = [{"primitives": [{**primitive, "extensions": {"KHR_draco_mesh_compression": about}}]}]
    builder.scene({"mesh": 0})
    return builder


def test_draco_is_unpacked(tmp_path: Path):
    mesh = read(tmp_path, draco_square())
    np.testing.assert_allclose(mesh.vertices[mesh.faces], SQUARE[SQUARE_FACES.reshape(-1, 3)], atol=1e-4)
    np.testing.assert_allclose(mesh.uv_with(v_down=True), SQUARE[:, :2], atol=1e-3)


@pytest.mark.parametrize("uv", ["own", "atlas"])
def test_draco_stays_where_no_atlas_is_needed(tmp_path: Path, uv: str):
    (tmp_path / "a.glb").write_bytes(draco_square().glb())
    before, _, _ = painted(tmp_path / "a.glb", uv, tmp_path / "mesh.glb")
    after = read_mesh(tmp_path / "mesh.glb")
    np.testing.assert_array_equal(after.corners, before.corners)
    primitive = after.file.document.tree["meshes"][0]["primitives"][0]
    assert ("KHR_draco_mesh_compression" in primitive.get("extensions", {})) == (uv == "own")
    assert ("TEXCOORD_1" in primitive["attributes"]) == (uv == "atlas")
    assert ("extensionsRequired" in after.file.document.tree) == (uv == "own")


@pytest.mark.parametrize(
    ("required", "told"),
    [
        (["KHR_gaussian_splatting"], "it needs KHR_gaussian_splatting, which is not read here"),
        (["KHR_mesh_quantization", "ACME_shape"], "it needs ACME_shape, which is not read here; save it without"),
        (["KHR_materials_made_up"], "it needs KHR_materials_made_up, which is not read here"),
    ],
)
def test_required_extensions_that_are_not_read_are_refused_by_name(tmp_path: Path, required: list[str], told: str):
    builder = one_square()
    builder.tree |= {"extensionsUsed": required, "extensionsRequired": required}
    with pytest.raises(UserError, match=told):
        read(tmp_path, builder)
    builder.tree["extensionsRequired"] = []
    assert len(read(tmp_path, builder).faces) == 2, "what is optional is passed over"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("a.gltf", b'{"asset": {"version": "1.0"}, "meshes": {"m": {}}}', "it is glTF 1.0, and 2.0 is read"),
        ("a.glb", struct.pack("<4sIIII", b"glTF", 1, 20, 0, 0), "it is glTF 1.0, and 2.0 is read"),
        ("a.glb", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n", "a Git LFS pointer, not the"),
        ("a.gltf", b"\xef\xbb\xbf <!DOCTYPE html><html>Not found</html>", "a web page, not the file itself"),
    ],
)
def test_what_is_no_gltf_2_is_named(tmp_path: Path, name: str, content: bytes, told: str):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=told):
        read_mesh(tmp_path / name)


def test_a_buffer_that_was_never_fetched_is_named(tmp_path: Path):
    builder = one_square()
    builder.tree["buffers"] = [{"uri": "a.bin", "byteLength": len(builder.data)}]
    (tmp_path / "a.gltf").write_text(json.dumps(builder.tree))
    (tmp_path / "a.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n")
    with pytest.raises(UserError, match=r"a\.gltf: refers to 'a\.bin': a Git LFS pointer, not the file itself"):
        read_mesh(tmp_path / "a.gltf")


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("accessors/0", {"count": 5}, "does not hold the 5 elements"),
    ("accessors/0", {"byteOffset": 4}, "does not hold the 4 elements"),
    ("accessors/0", {"byteOffset": -4}, "does not hold the 4 elements"),
    ("accessors/0", {"count": 2**40}, "accessor 0 has 1,099,511,627,776 elements"),
    ("accessors/0", {"count": -1}, "accessor 0 has -1 elements"),
    ("accessors/0", {"type": "VEC2"}, "accessor 0 cannot be used so: VEC2 of float32"),
    ("accessors/0", {"componentType": 5130}, "KeyError: 5130"),
    ("accessors/1", {"type": "VEC3", "count": 2}, "accessor 1 cannot be used so: VEC3 of float32"),
    ("accessors/2", {"componentType": 5122}, "accessor 2 cannot be used so: SCALAR of int16"),
    ("bufferViews/0", {"byteLength": 10**6}, "bufferView 0 reaches beyond its buffer"),
    ("bufferViews/0", {"byteOffset": -8}, "bufferView 0 reaches beyond its buffer"),
    ("bufferViews/0", {"byteStride": 4}, "does not hold the 4 elements"),
    ("bufferViews/0", {"buffer": 3}, "buffers has no 3"),
    ("nodes/0", {"mesh": 7}, "meshes has no 7"),
    ("nodes/0", {"mesh": -1}, "meshes has no -1"),
    ("scenes/0", {"nodes": [-1]}, "nodes has no -1"),
    ("scenes/0", {"nodes": [3]}, "nodes has no 3"),
    ("nodes/0", {"rotation": [0, 0, 1]}, "do not fit together"),
    ("nodes/0", {"matrix": [1, 2]}, "do not fit together"),
    ("nodes/0", {"children": [0]}, "node 0 has two parents, or is its own"),
]


@pytest.mark.parametrize(("where", "changes", "told"), WRONG)
def test_what_a_file_says_of_its_numbers_is_checked(tmp_path: Path, where: str, changes: dict[str, Any], told: str):
    builder = one_square()
    name, _, index = where.partition("/")
    builder.tree[name][int(index)] |= changes
    with pytest.raises(UserError, match=told) as caught:
        read(tmp_path, builder)
    assert "\n" not in str(caught.value)


def test_a_face_of_a_vertex_that_is_not_there_is_told(tmp_path: Path):
    builder = one_square()
    builder.tree["meshes"][0]["primitives"][0]["indices"] = builder.add(np.array([0, 1, 4], "<u2"))
    with pytest.raises(UserError, match="face indices out of range"):
        read(tmp_path, builder)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_glb_that_is_cut_off_is_told(tmp_path: Path, share: float):
    content = one_square().glb()
    (tmp_path / "a.glb").write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=r"a\.glb: not a readable GLB file"):
        read_mesh(tmp_path / "a.glb")


def test_pictures_open_as_they_are_written():
    """The builder's own: PNG and WebP without loss."""
    for kind in ("png", "webp"):
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encoded(FOUR, kind))).convert("RGB")), FOUR)

"""A painted glTF file: everything but its base colour is in it as it was, compared without the code that wrote it."""

import base64
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exporters.gltf_additions import Additions, as_binary
from exporters.gltf_in_place import with_base_colour
from geometry.mesh import Mesh
from geometry.mesh_file import read_mesh
from geometry.texture_layout import atlas_uv
from tests.artefacts import keep
from tests.exporters.rich_gltf import LEAF, rich_gltf
from tests.geometry.gltf_builder import SQUARE_UV, GltfBuilder

PICTURE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
DTYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}


def opened(path: Path) -> tuple[dict[str, Any], bytes]:
    """JSON and buffer of a GLB."""
    content = path.read_bytes()
    (size,) = struct.unpack_from("<I", content, 12)
    return json.loads(content[20 : 20 + size]), content[28 + size :]


def numbers(tree: dict[str, Any], data: bytes, index: int) -> list[tuple[float, ...]]:
    """An accessor's rows, read one by one."""
    about = tree["accessors"][index]
    kind = np.dtype(DTYPES[about["componentType"]])
    width = WIDTHS[about["type"]]

    def rows(where: dict[str, Any], kind: np.dtype, count: int, width: int) -> list[tuple[float, ...]]:
        view = tree["bufferViews"][where["bufferView"]]
        begin = view.get("byteOffset", 0) + where.get("byteOffset", 0)
        step = view.get("byteStride", kind.itemsize * width)
        return [tuple(np.frombuffer(data, kind, width, begin + i * step).tolist()) for i in range(count)]

    found = rows(about, kind, about["count"], width) if "bufferView" in about else [(0.0,) * width] * about["count"]
    if "sparse" in about:
        sparse = about["sparse"]
        places = rows(sparse["indices"], np.dtype(DTYPES[sparse["indices"]["componentType"]]), sparse["count"], 1)
        values = rows(sparse["values"], kind, sparse["count"], width)
        for (place,), value in zip(places, values, strict=True):
            found[int(place)] = value
    return found


def leaves(value: Any, path: str = "") -> dict[str, Any]:
    """Every number, word and empty thing of a JSON value by its path."""
    if isinstance(value, dict) and value:
        return {key: leaf for name, each in value.items() for key, leaf in leaves(each, f"{path}/{name}").items()}
    if isinstance(value, list) and value:
        return {key: leaf for i, each in enumerate(value) for key, leaf in leaves(each, f"{path}/{i}").items()}
    return {path: (type(value).__name__, value)}


def painted(path: Path, uv: str, into: Path) -> tuple[Mesh, Additions, np.ndarray | None]:
    mesh = read_mesh(path)
    corner_uv = atlas_uv(mesh, 32, 1000, 60.0) if uv == "atlas" else None
    laid = [(PICTURE, np.arange(len(mesh.faces)), corner_uv is None)]
    made = with_base_colour(mesh.file.document, mesh, laid, corner_uv)
    made.save(into)
    return mesh, made, corner_uv


@pytest.fixture(params=["own", "atlas"])
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, Mesh, Additions, Any]:
    """The rich file, painted on its own texture coordinates, and on new ones."""
    before, after = tmp_path / "rich.glb", tmp_path / "mesh.glb"
    before.write_bytes(rich_gltf().glb())
    case = (before, after, *painted(before, request.param, after))
    keep(before, f"rich-{request.param}.before.glb")
    keep(after, f"rich-{request.param}.glb")
    return case


def test_nothing_differs_but_what_is_said(case: tuple[Path, Path, Mesh, Additions, Any]):
    before, after, mesh, made, _ = case
    old, new = opened(before)[0], opened(after)[0]
    changes = made.changes(mesh.file.document.tree)
    was, now = leaves(old), leaves(new)
    different = [path for path in was.keys() | now.keys() if was.get(path) != now.get(path)]
    told = [path for path in different if any(path == one or path.startswith(f"{one}/") for one in changes)]
    assert sorted(told) == sorted(different)
    assert all(any(path == one or path.startswith(f"{one}/") for path in different) for one in changes)
    allowed = ("/bufferViews/", "/accessors/", "/materials/", "/textures/", "/images/", "/meshes/", "/buffers/0/byteL")
    assert all(one.startswith(allowed) for one in changes)
    for name in ("nodes", "skins", "animations", "scenes", "scene", "cameras", "asset", "extensions", "extras"):
        assert new[name] == old[name]


def test_old_numbers_stay_where_they_were(case: tuple[Path, Path, Mesh, Additions, Any]):
    before, after, *_ = case
    (old, old_data), (new, new_data) = opened(before), opened(after)
    for name in ("accessors", "bufferViews", "materials", "textures", "images"):
        assert new[name][: len(old[name])] == old[name]
    assert new_data[: old["buffers"][0]["byteLength"]] == old_data[: old["buffers"][0]["byteLength"]]


def test_every_corner_carries_what_it_carried(case: tuple[Path, Path, Mesh, Additions, Any]):
    """Joints, weights, normals, colours, all sets of texture coordinates and morph targets, corner by corner."""
    before, after, _, _, corner_uv = case
    (old, old_data), (new, new_data) = opened(before), opened(after)
    for number in (0, 1):
        was, now = old["meshes"][number]["primitives"][0], new["meshes"][number]["primitives"][0]
        order, again = (
            [int(i) for (i,) in numbers(tree, data, one["indices"])]
            for tree, data, one in ((old, old_data, was), (new, new_data, now))
        )
        added = now["attributes"].keys() - was["attributes"].keys()
        assert added == ({f"TEXCOORD_{2}"} if corner_uv is not None else set())
        pairs = [(was["attributes"][name], now["attributes"][name]) for name in was["attributes"]]
        for one, other in zip(was.get("targets", []), now.get("targets", []), strict=True):
            pairs += [(one[name], other[name]) for name in one]
        for a, b in pairs:
            x, y = numbers(old, old_data, a), numbers(new, new_data, b)
            assert [x[i] for i in order] == [y[i] for i in again]
            kept = [{name: about.get(name) for name in ("componentType", "type", "normalized")} for about in
                    (old["accessors"][a], new["accessors"][b])]  # fmt: skip
            assert kept[0] == kept[1]
    assert new["meshes"][0]["primitives"][1] == old["meshes"][0]["primitives"][1], "lines keep their material"


def test_it_is_read_as_the_same_surface(case: tuple[Path, Path, Mesh, Additions, Any]):
    before, after, _, _, corner_uv = case
    old, new = read_mesh(before), read_mesh(after)
    np.testing.assert_array_equal(new.corners, old.corners)
    assert new.corner_uv is not None
    assert old.corner_uv is not None
    np.testing.assert_allclose(new.corner_uv, old.corner_uv if corner_uv is None else corner_uv, atol=2**-24)


def test_materials_keep_all_but_their_base_colour(case: tuple[Path, Path, Mesh, Additions, Any]):
    """The coat's other user is a line, the leaf's a variant: both keep theirs, and what is painted gets copies."""
    before, after, _, _, corner_uv = case
    old, new = opened(before)[0], opened(after)[0]
    coat, leaf = (new["materials"][mesh["primitives"][0]["material"]] for mesh in new["meshes"])
    own = [{**one, "pbrMetallicRoughness": None} for one in old["materials"]]
    assert [{**one, "pbrMetallicRoughness": None} for one in (coat, leaf)] == own
    assert coat["pbrMetallicRoughness"]["baseColorFactor"] == [1, 1, 1, 0.7]
    assert coat["pbrMetallicRoughness"]["metallicFactor"] == 0.25
    info = leaf["pbrMetallicRoughness"]["baseColorTexture"]
    texture = new["textures"][info["index"]]
    if corner_uv is None:
        assert info == {**old["materials"][1]["pbrMetallicRoughness"]["baseColorTexture"], "index": info["index"]}
        assert texture["sampler"] == 0
    else:
        assert info == {"index": info["index"], "texCoord": 2}
        assert "sampler" not in texture


def test_what_was_cut_out_still_is(case: tuple[Path, Path, Mesh, Additions, Any]):
    """The leaf's alpha, by its own texture coordinates, is found at the same points of the surface."""
    _, after, mesh, _, corner_uv = case
    tree, data = opened(after)
    view = tree["bufferViews"][tree["images"][-1]["bufferView"]]
    picture = Image.open(io.BytesIO(data[view["byteOffset"] : view["byteOffset"] + view["byteLength"]]))
    assert picture.mode == "RGBA"
    found = np.asarray(picture)
    np.testing.assert_array_equal(found[..., :3], PICTURE)
    assert mesh.corner_uv is not None
    leaf = np.flatnonzero(mesh.file.part == 1)
    shares = np.random.default_rng(0).dirichlet((2, 2, 2), (len(leaf), 40))
    was = np.einsum("fpc,fck->fpk", shares, mesh.corner_uv[leaf]).reshape(-1, 2)
    now = np.einsum("fpc,fck->fpk", shares, (mesh.corner_uv if corner_uv is None else corner_uv)[leaf]).reshape(-1, 2)
    expected = LEAF[_rows(was, 8), _columns(was, 8), 3].astype(float)
    there = found[_rows(now, 32), _columns(now, 32), 3].astype(float)
    assert np.corrcoef(expected, there)[0, 1] > 0.8


def _rows(uv: np.ndarray, size: int) -> np.ndarray:
    return ((1 - uv[:, 1]) * size).astype(int) % size


def _columns(uv: np.ndarray, size: int) -> np.ndarray:
    return (uv[:, 0] * size).astype(int) % size


def test_a_material_of_its_own_is_changed_in_place(tmp_path: Path):
    builder = GltfBuilder(materials=[{"name": "Paint", "pbrMetallicRoughness": {"metallicFactor": 0.5}}])
    builder.tree["meshes"] = [{"primitives": [builder.square(material=0)]}]
    builder.scene({"mesh": 0})
    (tmp_path / "a.glb").write_bytes(builder.glb())
    mesh, made, _ = painted(tmp_path / "a.glb", "own", tmp_path / "mesh.glb")
    assert made.changes(mesh.file.document.tree) == [
        *("/bufferViews/3", "/materials/0/pbrMetallicRoughness/baseColorTexture", "/buffers/0/byteLength"),
        *("/images", "/textures"),
    ]


def test_a_primitive_without_material_gets_a_matte_one(tmp_path: Path):
    builder = GltfBuilder()
    builder.tree["meshes"] = [{"primitives": [builder.square()]}]
    builder.scene({"mesh": 0})
    (tmp_path / "a.glb").write_bytes(builder.glb())
    painted(tmp_path / "a.glb", "own", tmp_path / "mesh.glb")
    (material,) = opened(tmp_path / "mesh.glb")[0]["materials"]
    assert material["pbrMetallicRoughness"] == {
        **{"metallicFactor": 0.0, "roughnessFactor": 1.0},
        "baseColorTexture": {"index": 0},
    }


def gltf_with_files(folder: Path) -> Path:
    """A .gltf file whose buffer and picture lie beside it, the picture in a folder of its own."""
    builder = GltfBuilder(materials=[{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}])
    builder.tree["meshes"] = [{"primitives": [builder.square(material=0)]}]
    builder.scene({"mesh": 0, "name": "Sign"})
    builder.tree |= {"textures": [{"source": 0}], "images": [{"uri": "tex/my%20wood.png"}]}
    builder.tree["buffers"] = [{"uri": "painted.bin", "byteLength": len(builder.data)}]
    (folder / "tex").mkdir(parents=True)
    Image.fromarray(PICTURE[:8, :8]).save(folder / "tex" / "my wood.png")
    (folder / "painted.bin").write_bytes(builder.data)
    (folder / "a.gltf").write_text(json.dumps(builder.tree))
    return folder / "a.gltf"


@pytest.mark.parametrize("uv", ["own", "atlas"])
def test_a_gltf_comes_back_with_the_files_beside_it(tmp_path: Path, uv: str):
    path, run = gltf_with_files(tmp_path / "mine"), tmp_path / "run"
    run.mkdir()
    before, made, _ = painted(path, uv, run / "mesh.gltf")
    names = {str(file.relative_to(run)) for file in run.rglob("*") if file.is_file()}
    more = {"painted1.bin"} if uv == "atlas" else set()
    assert names == {"mesh.gltf", "tex/my wood.png", "painted.bin", "painted.png"} | more
    for name in ("tex/my wood.png", "painted.bin"):
        assert (run / name).read_bytes() == (tmp_path / "mine" / name).read_bytes()
    np.testing.assert_array_equal(np.asarray(Image.open(run / "painted.png")), PICTURE)
    np.testing.assert_array_equal(read_mesh(run / "mesh.gltf").corners, before.corners)
    assert "/nodes/0/name" not in made.changes(before.file.document.tree)


def test_a_name_that_the_run_has_taken_is_not_written_over(tmp_path: Path):
    path, run = gltf_with_files(tmp_path / "mine"), tmp_path / "run"
    run.mkdir()
    (run / "painted.bin").write_text("the run's own")
    before, made, _ = painted(path, "own", run / "mesh.gltf")
    assert (run / "painted.bin").read_text() == "the run's own"
    assert "/buffers/0/uri" in made.changes(before.file.document.tree)
    np.testing.assert_array_equal(read_mesh(run / "mesh.gltf").corners, before.corners)


@pytest.mark.parametrize("uri", ["../../wood.png", "{elsewhere}/wood.png", "tex/../../wood.png"])
def test_nothing_is_written_outside_of_the_runs_folder(tmp_path: Path, uri: str):
    """A picture whose name leads out of the folder is found beside the mesh by its last word, and written nowhere."""
    path, run, elsewhere = gltf_with_files(tmp_path / "mine"), tmp_path / "all" / "runs" / "run", tmp_path / "elsewhere"
    run.mkdir(parents=True)
    wood = (path.parent / "tex" / "my wood.png").rename(path.parent / "wood.png").read_bytes()
    path.write_text(path.read_text().replace("tex/my%20wood.png", uri.format(elsewhere=elsewhere)))
    before, made, _ = painted(path, "own", run / "mesh.gltf")
    assert "/images/0/uri" in made.changes(before.file.document.tree)
    about, _, content = made.tree["images"][0]["uri"].partition(",")
    assert (about, base64.b64decode(content)) == ("data:image/png;base64", wood)
    found = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("wood.png")}
    assert found == {"mine/wood.png"}
    assert not elsewhere.exists()


def test_a_gltf_becomes_a_glb_that_holds_its_files(tmp_path: Path):
    mesh = read_mesh(gltf_with_files(tmp_path / "mine"))
    made = with_base_colour(as_binary(mesh.file.document), mesh, [(PICTURE, np.arange(len(mesh.faces)), True)], None)
    path = made.save(tmp_path / "mesh.glb")[0]
    tree, data = opened(path)
    keep(path, "packed.glb")
    assert tree["nodes"] == [{"mesh": 0, "name": "Sign"}]
    shown = [tree["bufferViews"][image["bufferView"]] for image in tree["images"]]
    wood, new = (data[view["byteOffset"] : view["byteOffset"] + view["byteLength"]] for view in shown)
    assert wood == (tmp_path / "mine" / "tex" / "my wood.png").read_bytes()
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(new))), PICTURE)
    assert numbers(tree, data, 1) == [tuple(row) for row in SQUARE_UV.tolist()]


def test_packed_bytes_of_a_view_are_found_in_the_one_buffer(tmp_path: Path):
    """EXT_meshopt_compression where it is not required: the view has plain bytes, its extension names packed ones."""
    path = gltf_with_files(tmp_path / "mine")
    tree = json.loads(path.read_text())
    (path.parent / "packed.bin").write_bytes(b"..packed")
    tree["buffers"].append({"uri": "packed.bin", "byteLength": 8})
    tree["bufferViews"][0]["extensions"] = {
        "EXT_meshopt_compression": {"buffer": 1, "byteOffset": 2, "byteLength": 6, "count": 1}
    }
    path.write_text(json.dumps(tree))
    whole = as_binary(read_mesh(path).file.document)
    about = whole.tree["bufferViews"][0]["extensions"]["EXT_meshopt_compression"]
    assert about["buffer"] == 0
    assert whole.binary[about["byteOffset"] : about["byteOffset"] + about["byteLength"]] == b"packed"


def test_further_chunks_and_buffers_in_the_json_stay(tmp_path: Path):
    """A GLB whose only buffer is in its JSON, and which ends with a chunk of another kind."""
    builder = GltfBuilder()
    builder.tree["meshes"] = [{"primitives": [builder.square()]}]
    builder.scene({"mesh": 0})
    builder.tree["buffers"] = [{"uri": builder.uri(), "byteLength": len(builder.data)}]
    text = json.dumps(builder.tree).encode()
    text += b" " * (-len(text) % 4)
    body = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", 4, b"ACME") + b"hey!"
    (tmp_path / "a.glb").write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(body)) + body)
    before, _, _ = painted(tmp_path / "a.glb", "atlas", tmp_path / "mesh.glb")
    content = (tmp_path / "mesh.glb").read_bytes()
    assert content.endswith(struct.pack("<I4s", 4, b"ACME") + b"hey!")
    np.testing.assert_array_equal(read_mesh(tmp_path / "mesh.glb").corners, before.corners)

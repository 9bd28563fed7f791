"""Whole GLB files by chance against a slow reader: read with the right numbers, painted with nothing else changed."""

import io
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from exporters.gltf_in_place import Laid, with_base_colour
from geometry.mesh import Mesh, area_vectors
from geometry.mesh_file import read_mesh
from tests.cases.gltf_by_chance import gltf_files, hypothesis, st
from tests.cases.slow_gltf import Placed, SlowGltf, area
from tests.cases.test_random_files import SETTINGS
from tests.exporters.test_gltf_in_place import leaves

#: In place of texture coordinates that are not there.
NO_UV = -99.0
PICTURES = [np.full((4, 4, 3), number, np.uint8) for number in (50, 200)]


def readable(path: Path, content: bytes) -> tuple[SlowGltf, list[Placed], Mesh]:
    """A file as both read it; such as have no surface to speak of are passed over."""
    slow = SlowGltf(content)
    placed = slow.placed()
    corners = np.array([[c.point for c in three] for one in placed for three in one.triangles]).reshape(-1, 3, 3)
    longest = ((corners - np.roll(corners, 1, axis=1)) ** 2).sum(axis=-1).max(axis=-1)
    hypothesis.assume(sum(area(one.triangles) for one in placed) > 1e-4 * longest.sum())
    path.write_bytes(content)
    return slow, placed, read_mesh(path)


def numbers(one: Placed, scale: float) -> NDArray[np.float64]:
    """Positions and texture coordinates, (triangles, 3, 5)."""
    rows = [[(*np.divide(c.point, scale), *(c.uv or (NO_UV, NO_UV))) for c in three] for three in one.triangles]
    return np.array(rows)


def unlike(a: NDArray[np.float64], b: NDArray[np.float64], any_order: bool) -> float:
    """The largest difference of two lists of triangles, each begun at the corner that fits best."""
    if len(a) != len(b):
        return np.inf
    orders = list(permutations(range(3))) if any_order else [(0, 1, 2), (1, 2, 0), (2, 0, 1)]
    differences = [np.abs(a - b[:, order]) / (1 + np.abs(a)) for order in orders]
    return float(np.min([each.max(axis=(1, 2)) for each in differences], axis=0).max())


def parts(mesh: Mesh, scale: float) -> Iterator[tuple[tuple[int, int], NDArray[np.float64]]]:
    """Of each part of a mesh its primitive and its numbers."""
    uv = np.full((len(mesh.faces), 3, 2), np.nan) if mesh.uv is None else mesh.uv_with(v_down=True)[mesh.faces]
    every = np.concatenate([mesh.corners / scale, np.nan_to_num(uv.astype(np.float64), nan=NO_UV)], axis=-1)
    for part, faces in mesh.file.by_part(np.arange(len(mesh.faces))):
        yield mesh.file.primitives[part], every[faces]


def test_every_triangle_lies_where_a_slow_reader_finds_it(tmp_path: Path):
    @SETTINGS
    @hypothesis.given(gltf_files())
    def check(content: bytes) -> None:
        _, placed, mesh = readable(tmp_path / "a.glb", content)
        scale = float(np.abs(mesh.corners).max())
        waiting = list(placed)
        for key, found in parts(mesh, scale):
            same = [one for one in waiting if one.key == key]
            off = [unlike(found, numbers(one, scale), one.is_skinned) for one in same]
            assert min(off) < 1e-6
            waiting.remove(same[int(np.argmin(off))])
        assert not waiting
        areas = np.linalg.norm(area_vectors(mesh.corners), axis=1) / 2
        assert areas.sum() == pytest.approx(sum(area(one.triangles) for one in placed), rel=1e-5)

    check()


def groups(mesh: Mesh, draw: Any) -> tuple[list[Laid], dict[tuple[int, int], tuple[int, bool]]]:
    """Faces of two pictures, and of each primitive that is painted its picture and whether it keeps its places."""
    keys = list(dict.fromkeys(mesh.file.primitives))
    of_part = np.array([keys.index(key) for key in mesh.file.primitives])[mesh.file.part]
    chosen = np.array([draw(st.integers(-1, 1)) for _ in keys])
    laid, painted = list[Laid](), dict[tuple[int, int], tuple[int, bool]]()
    for number, picture in enumerate(PICTURES):
        faces = np.flatnonzero(chosen[of_part] == number)
        has_uv = mesh.corner_uv is not None and bool(np.isfinite(mesh.corner_uv[faces]).all())
        keeps = has_uv and draw(st.booleans())
        if len(faces):
            laid.append((picture, faces, keeps))
            painted |= {keys[i]: (number, keeps) for i in np.flatnonzero(chosen == number)}
    return laid, painted


def test_a_painted_file_differs_in_its_base_colour_alone(tmp_path: Path):
    @SETTINGS
    @hypothesis.given(st.data())
    def check(data: Any) -> None:
        before, placed, mesh = readable(tmp_path / "a.glb", data.draw(gltf_files()))
        laid, painted = groups(mesh, data.draw)
        places = np.random.default_rng(0).random((5, 2)).astype(np.float32)
        new_uv = places[np.random.default_rng(1).integers(0, 5, (len(mesh.faces), 3))].astype(np.float64)
        made = with_base_colour(mesh.file.document, mesh, laid, new_uv)
        after = SlowGltf(made.save(tmp_path / "mesh.glb")[0].read_bytes())
        check_json(before, after, made.changes(mesh.file.document.tree))
        laid_out = new_places(mesh, new_uv)
        for old, new in zip(placed, after.placed(), strict=True):
            number, keeps = painted.get(old.key, (None, True))
            check_triangles(old, new, None if keeps else laid_out[old.key])
            check_attributes(before, after, old, new)
            check_picture(before, after, old.key, None if number is None else PICTURES[number])

    check()


def check_json(before: SlowGltf, after: SlowGltf, changes: list[str]) -> None:
    """The JSON differs in the places that are told, and the buffers begin as they were."""
    was, now = leaves(before.tree), leaves(after.tree)
    different = {path for path in was.keys() | now.keys() if was.get(path) != now.get(path)}
    assert all(any(path == one or path.startswith(f"{one}/") for one in changes) for path in different)
    allowed = ("/bufferViews/", "/accessors/", "/materials", "/textures/", "/images/", "/meshes/", "/buffers/0/byteL")
    assert all(one.startswith(allowed) for one in changes)
    assert after.binary.startswith(before.binary)


def new_places(mesh: Mesh, new_uv: NDArray[np.float64]) -> dict[tuple[int, int], list[dict[int, tuple[float, float]]]]:
    """Of each primitive, for each of its triangles, the new place of each vertex, v downward."""
    found = {}
    assert mesh.file.corner is not None
    for part, faces in mesh.file.by_part(np.flatnonzero(mesh.file.first_copy() == np.arange(len(mesh.faces)))):
        rows = zip(mesh.file.corner[faces].tolist(), (new_uv[faces] * [1, -1] + [0, 1]).tolist(), strict=True)
        found[mesh.file.primitives[part]] = [dict(zip(v, map(tuple, uv), strict=True)) for v, uv in rows]
    return found


def check_triangles(old: Placed, new: Placed, places: list[dict[int, tuple[float, float]]] | None) -> None:
    assert new.key == old.key
    for i, (was, now) in enumerate(zip(old.triangles, new.triangles, strict=True)):
        assert [corner.point for corner in now] == [corner.point for corner in was]
        if places is None:
            assert [corner.uv for corner in now] == [corner.uv for corner in was]
        elif len({corner.vertex for corner in was}) == 3:  # else a vertex has several places
            wanted = [places[i][corner.vertex] for corner in was]
            np.testing.assert_allclose([corner.uv or () for corner in now], wanted, atol=1e-6)


def check_attributes(before: SlowGltf, after: SlowGltf, old: Placed, new: Placed) -> None:
    """All numbers of a primitive's vertices, corner by corner."""
    mesh, number = old.key
    was, now = (file.tree["meshes"][mesh]["primitives"][number] for file in (before, after))
    pairs = [(was["attributes"][name], now["attributes"][name]) for name in was["attributes"]]
    for one, other in zip(was.get("targets", []), now.get("targets", []), strict=True):
        pairs += [(one[name], other[name]) for name in one]
    order, again = ([corner.vertex for three in one.triangles for corner in three] for one in (old, new))
    for one, other in pairs:
        rows, others = before.rows(one), after.rows(other)
        assert [rows[i] for i in order] == [others[i] for i in again]


def check_picture(before: SlowGltf, after: SlowGltf, key: tuple[int, int], painted: NDArray[np.uint8] | None) -> None:
    """What a primitive's base colour shows: the picture that was painted, or else what it was; the rest has stayed."""
    was, now = (file.material(key) for file in (before, after))
    if painted is None:
        assert now == was
        return
    assert now is not None
    with Image.open(io.BytesIO(after.picture(now))) as opened:
        np.testing.assert_array_equal(np.asarray(opened)[..., :3], painted)
    for name, value in (was or {}).items():
        if name not in ("pbrMetallicRoughness", "extensions"):
            assert now[name] == value
    assert now["pbrMetallicRoughness"].get("metallicFactor") == (
        0.0 if was is None else was.get("pbrMetallicRoughness", {}).get("metallicFactor")
    )

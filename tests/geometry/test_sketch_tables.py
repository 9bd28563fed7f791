"""Tables against closed forms and against the exact query; the files that keep them."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest
import trimesh

from geometry import sketch_tables
from geometry.mesh import Mesh
from geometry.sketch_tables import cache_folder, exact_distance, exact_occupancy, load_table, make_table

N = 48
HALF = 0.6


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "latent-nerf" / "sketches"


def _mesh(body: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(body.vertices, dtype=np.float64), np.asarray(body.faces, dtype=np.int64))


BRICK = np.array([0.45, 0.2, 0.3])  # half its size
BOX = _mesh(trimesh.creation.box(extents=2 * BRICK))


def _grid() -> np.ndarray:
    axis = np.linspace(-HALF, HALF, N)
    return np.stack(np.meshgrid(axis, axis, axis, indexing="ij"), axis=-1)


def _box_distance(points: np.ndarray) -> np.ndarray:
    """Signed distance to the box, in closed form."""
    beyond = np.abs(points) - BRICK
    return np.linalg.norm(beyond.clip(0), axis=-1) + beyond.max(axis=-1).clip(max=0)


def test_the_exact_query_knows_the_box():
    points = np.random.default_rng(0).uniform(-HALF, HALF, (2000, 3))
    truth = _box_distance(points)
    assert (exact_occupancy(BOX, points) == (truth < 0)).all()
    np.testing.assert_allclose(exact_distance(BOX, points), np.abs(truth), atol=1e-9)


def test_a_closed_body_has_the_signed_distance_for_its_level():
    table, truth = make_table(BOX, HALF, N), _box_distance(_grid())
    cell = 2 * HALF / (N - 1)
    near = np.abs(truth) < sketch_tables.BAND * cell * 0.999
    np.testing.assert_allclose(table[near][:, 0], np.abs(truth)[near], atol=1e-6)
    assert (table[..., 0] >= np.abs(truth) - 1e-6).all(), (
        "beyond the band a point of the surface is named, so never less"
    )
    assert (table[..., 0] - np.abs(truth)).max() < 0.5 * cell
    clear = np.abs(truth) > 1e-6
    np.testing.assert_allclose(np.sign(table[clear][:, 1]), np.sign(truth[clear]))
    np.testing.assert_allclose(np.abs(table[..., 1]), table[..., 0], atol=2e-3)


def test_overlapping_bodies_are_inside_twice():
    other = trimesh.creation.box(extents=2 * BRICK[[2, 0, 1]])
    both = Mesh(np.concatenate([BOX.vertices, other.vertices]), np.concatenate([BOX.faces, other.faces + 8]))
    table, grid = make_table(both, HALF, N), _grid()
    inside = (np.abs(grid) < BRICK - 1e-6).all(-1) | (np.abs(grid) < BRICK[[2, 0, 1]] - 1e-6).all(-1)
    outside = (np.abs(grid) > BRICK + 1e-6).any(-1) & (np.abs(grid) > BRICK[[2, 0, 1]] + 1e-6).any(-1)
    assert (table[inside][:, 1] < 0).all()
    assert (table[outside][:, 1] > 0).all()


def test_a_holed_surface_agrees_with_the_exact_query_everywhere():
    ball = trimesh.creation.icosphere(subdivisions=4, radius=0.5)
    kept = np.random.default_rng(1).permutation(len(ball.faces))[: len(ball.faces) * 9 // 10]
    holed = Mesh(np.asarray(ball.vertices), np.asarray(ball.faces[kept], dtype=np.int64))
    table, points = make_table(holed, HALF, N).reshape(-1, 2), _grid().reshape(-1, 3)
    assert ((table[:, 1] < 0) == exact_occupancy(holed, points)).mean() > 0.9995
    cell = 2 * HALF / (N - 1)
    assert np.abs(table[:, 0] - exact_distance(holed, points)).max() < 0.5 * cell


def test_made_once_then_read(own_cache: Path, monkeypatch: pytest.MonkeyPatch):
    first = load_table(BOX, HALF, 16)
    assert [file.suffix for file in own_cache.iterdir()] == [".npy"]
    monkeypatch.setattr(sketch_tables, "make_table", lambda *_: pytest.fail("was kept already"))
    np.testing.assert_array_equal(load_table(BOX, HALF, 16), first)


def test_content_and_settings_make_the_key(own_cache: Path):
    moved = Mesh(BOX.vertices + 0.01, BOX.faces)
    for mesh, half, resolution in ((BOX, HALF, 16), (moved, HALF, 16), (BOX, 0.7, 16), (BOX, HALF, 18)):
        load_table(mesh, half, resolution)
    assert len(list(own_cache.iterdir())) == 4


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY garbage", b"x" * 1000])
def test_a_broken_file_is_made_anew(content: bytes, own_cache: Path):
    first = load_table(BOX, HALF, 16)
    (file,) = own_cache.iterdir()
    file.write_bytes(content)
    np.testing.assert_array_equal(load_table(BOX, HALF, 16), first)
    assert np.load(file).shape == (16, 16, 16, 2)


def test_another_table_under_the_same_name_is_made_anew(own_cache: Path):
    first = load_table(BOX, HALF, 16)
    (file,) = own_cache.iterdir()
    np.save(file, np.full((16, 16, 16, 2), np.nan, dtype=np.float32))
    np.testing.assert_array_equal(load_table(BOX, HALF, 16), first)


def test_the_oldest_are_removed(own_cache: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sketch_tables, "MOST_KEPT", 2)
    names: list[str] = []
    for age, half in enumerate((0.6, 0.7, 0.8)):
        load_table(BOX, half, 12)
        (new,) = [file for file in own_cache.iterdir() if file.name not in names]
        os.utime(new, (age, age))
        names.append(new.name)
    assert {file.name for file in own_cache.iterdir()} == set(names[1:])


def test_without_a_place_to_write_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING, "geometry.sketch_tables"):
        assert load_table(BOX, HALF, 12).shape == (12, 12, 12, 2)
    assert "cannot be kept" in caplog.text


def test_the_users_cache_by_default(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "latent-nerf" / "sketches"

"""Atlases: no face is lost, nothing overlaps, and the child process can be stopped."""

import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry import unwrap as module
from geometry.unwrap import Atlas, unwrap

SIZE = 128


def _arrays(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(mesh.vertices, np.float32), np.asarray(mesh.faces, np.int64)


def _times_covered(atlas: Atlas) -> np.ndarray:
    """How many faces cover each texel's centre: all texels against all faces, by the signs of three areas."""
    grid = np.stack(np.meshgrid(np.arange(atlas.width), np.arange(atlas.height), indexing="xy"), axis=-1) + 0.5
    points = grid.reshape(-1, 2)
    covered = np.zeros(len(points), np.int64)
    for a, b, c in atlas.uv[atlas.faces].astype(np.float64) * [atlas.width, atlas.height]:
        areas = [_cross(q - p, points - p) for p, q in ((a, b), (b, c), (c, a))]
        covered += np.all(np.sign(areas) == np.sign(areas[0]), axis=0) & (areas[0] != 0)
    return covered


def _cross(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]


def test_faces_keep_their_order_and_no_texel_belongs_to_two() -> None:
    vertices, faces = _arrays(trimesh.creation.torus(0.5, 0.2, 12, 10))
    atlas = unwrap(vertices, faces, SIZE)
    assert np.array_equal(atlas.vertex_map[atlas.faces], faces)
    assert atlas.uv.min() >= 0
    assert atlas.uv.max() <= 1
    assert max(atlas.width, atlas.height) < 2 * SIZE
    covered = _times_covered(atlas)
    assert covered.max() == 1
    assert covered.mean() > 0.3  # little of the texture is wasted
    assert atlas.n_charts >= 2  # a torus is no disc


def test_the_same_mesh_gives_the_same_atlas() -> None:
    vertices, faces = _arrays(trimesh.creation.icosphere(subdivisions=2))
    first, second = unwrap(vertices, faces, SIZE), unwrap(vertices, faces, SIZE)
    assert first.uv.tobytes() == second.uv.tobytes()
    assert np.array_equal(first.vertex_map, second.vertex_map)


def _used_share(atlas: Atlas) -> float:
    """The charts' share of the texture, by the sum of their faces' areas."""
    a, b, c = atlas.uv[atlas.faces].astype(np.float64).transpose(1, 0, 2)
    return float(np.abs(_cross(b - a, c - a)).sum() / 2)


@pytest.mark.parametrize(("radius", "away"), [(1e-4, 0.0), (1e-3, 50.0), (1e4, 0.0), (1.0, 1e9)])
def test_neither_the_unit_nor_the_place_of_a_mesh_makes_a_difference(radius: float, away: float) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    # Bumps leave no symmetry, whose ties the rounding of other numbers would decide otherwise.
    bumps = np.random.default_rng(0).uniform(0.9, 1.0, (len(ball.vertices), 1))
    vertices, faces = np.asarray(ball.vertices * bumps, np.float64), np.asarray(ball.faces, np.int64)
    plain, other = unwrap(vertices, faces, SIZE), unwrap(radius * vertices + away, faces, SIZE)
    assert other.n_charts == plain.n_charts
    assert _used_share(other) == pytest.approx(_used_share(plain), rel=0.02)
    assert _used_share(plain) > 0.4


def test_a_detail_has_its_place_beside_a_body_two_thousand_times_its_size() -> None:
    """xatlas lets faces that are small by its absolute measure share one point of the texture."""
    body, detail = trimesh.creation.box(), trimesh.creation.icosphere(subdivisions=2, radius=2.5e-4)
    detail.apply_translation([1.0, 0.0, 0.0])
    both = trimesh.util.concatenate([body, detail])
    assert isinstance(both, trimesh.Trimesh)
    atlas = unwrap(*_arrays(both), SIZE)
    a, b, c = atlas.uv[atlas.faces[len(body.faces) :]].astype(np.float64).transpose(1, 0, 2)
    assert np.all(_cross(b - a, c - a) != 0)


def test_faces_without_area_are_kept() -> None:
    vertices, faces = _arrays(trimesh.creation.box())
    faces = np.vstack([faces, [[0, 0, 1], [2, 2, 2]]])
    atlas = unwrap(vertices, faces, SIZE)
    assert np.array_equal(atlas.vertex_map[atlas.faces], faces)


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.zeros((3, 3), np.float32), np.zeros((0, 3), np.int64), "the mesh has no faces"),
        (np.zeros((3, 3), np.float32), np.array([[0, 1, 2]]), "none of the mesh's faces has an area"),
        (np.full((3, 3), np.nan, np.float32), np.array([[0, 1, 2]]), "vertices that are no numbers"),
    ],
)
def test_meshes_that_cannot_be_unwrapped(vertices: np.ndarray, faces: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        unwrap(vertices, faces, SIZE)


def test_too_many_faces_are_refused_before_anything_starts() -> None:
    vertices, faces = _arrays(trimesh.creation.box())
    with pytest.raises(UserError, match=r"unwrap: 12 faces, at most 10 can be unwrapped.*simplify first"):
        unwrap(vertices, faces, SIZE, max_faces=10)


def _child_that(tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "child.py"
    path.write_text(code)
    monkeypatch.setattr(module, "CHILD", path)


def test_a_child_without_end_is_stopped_and_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waits = "import sys, time; print('flattening', file=sys.stderr, flush=True); time.sleep(60)"
    _child_that(tmp_path, waits, monkeypatch)
    vertices, faces = _arrays(trimesh.creation.box())
    told: list[float] = []
    start = time.monotonic()
    with pytest.raises(UserError, match=r"not finished 12 faces within 0.5 s \(last: flattening\); allow fewer"):
        unwrap(vertices, faces, SIZE, time_limit_s=0.5, tell=told.append)
    assert time.monotonic() - start < 5
    assert len(told) >= 2
    assert told == sorted(told)


def test_a_child_that_dies_is_an_error_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _child_that(tmp_path, "raise MemoryError('no room')", monkeypatch)
    vertices, faces = _arrays(trimesh.creation.box())
    with pytest.raises(UserError, match="xatlas ended with status 1 on 12 faces: MemoryError: no room"):
        unwrap(vertices, faces, SIZE)


def test_a_thread_that_never_ends_does_not_hold_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """xatlas may wait for ever for its own threads when it is taken down."""
    stuck = f"""
        import runpy, sys, threading
        threading.Thread(target=threading.Event().wait).start()
        runpy.run_path({str(module.CHILD)!r}, run_name="__main__")
    """
    _child_that(tmp_path, textwrap.dedent(stuck), monkeypatch)
    vertices, faces = _arrays(trimesh.creation.box())
    assert len(unwrap(vertices, faces, SIZE, time_limit_s=30.0).faces) == 12

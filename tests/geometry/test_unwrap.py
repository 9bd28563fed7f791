"""Atlases: no face is lost, nothing overlaps, and the child process can be stopped."""

import logging
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import trimesh

from core.errors import UserError
from geometry import unwrap as module
from geometry.mesh import Mesh
from geometry.unwrap import Atlas, unwrap

SIZE = 128


def _mesh(body: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(body.vertices, np.float32), np.asarray(body.faces, np.int64))


def _times_covered(mesh: Mesh, atlas: Atlas) -> np.ndarray:
    """How many faces cover each texel's centre: all texels against all faces, by the signs of three areas."""
    grid = np.stack(np.meshgrid(np.arange(atlas.width), np.arange(atlas.height), indexing="xy"), axis=-1) + 0.5
    points = grid.reshape(-1, 2)
    covered = np.zeros(len(points), np.int64)
    assert mesh.corner_uv is not None
    for a, b, c in mesh.corner_uv * [atlas.width, atlas.height]:
        areas = [_cross(q - p, points - p) for p, q in ((a, b), (b, c), (c, a))]
        covered += np.all(np.sign(areas) == np.sign(areas[0]), axis=0) & (areas[0] != 0)
    return covered


def _cross(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    return p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]


def test_faces_keep_their_order_and_no_texel_belongs_to_two() -> None:
    given = _mesh(trimesh.creation.torus(0.5, 0.2, 12, 10))
    mesh, atlas = unwrap(given, SIZE)
    assert np.array_equal(mesh.corners, given.corners)
    assert mesh.uv is not None
    assert mesh.uv.min() >= 0
    assert mesh.uv.max() <= 1
    assert max(atlas.width, atlas.height) < 2 * SIZE
    covered = _times_covered(mesh, atlas)
    assert covered.max() == 1
    assert covered.mean() > 0.3  # little of the texture is wasted
    assert atlas.n_charts >= 2  # a torus is no disc


def test_the_same_mesh_gives_the_same_atlas() -> None:
    ball = _mesh(trimesh.creation.icosphere(subdivisions=2))
    (first, _), (second, _) = unwrap(ball, SIZE), unwrap(ball, SIZE)
    assert first.uv is not None
    assert second.uv is not None
    assert first.uv.tobytes() == second.uv.tobytes()
    assert np.array_equal(first.vertices, second.vertices)


def _used_share(mesh: Mesh) -> float:
    """The charts' share of the texture, by the sum of their faces' areas."""
    assert mesh.corner_uv is not None
    a, b, c = mesh.corner_uv.transpose(1, 0, 2)
    return float(np.abs(_cross(b - a, c - a)).sum() / 2)


@pytest.mark.parametrize(("radius", "away"), [(1e-4, 0.0), (1e-3, 50.0), (1e4, 0.0), (1.0, 1e9)])
def test_neither_the_unit_nor_the_place_of_a_mesh_makes_a_difference(radius: float, away: float) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2)
    # Bumps leave no symmetry, whose ties the rounding of other numbers would decide otherwise.
    bumps = np.random.default_rng(0).uniform(0.9, 1.0, (len(ball.vertices), 1))
    vertices, faces = np.asarray(ball.vertices * bumps, np.float64), np.asarray(ball.faces, np.int64)
    plain, atlas = unwrap(Mesh(vertices, faces), SIZE)
    other, another = unwrap(Mesh(radius * vertices + away, faces), SIZE)
    assert another.n_charts == atlas.n_charts
    assert _used_share(other) == pytest.approx(_used_share(plain), rel=0.02)
    assert _used_share(plain) > 0.4


def test_a_detail_has_its_place_beside_a_body_two_thousand_times_its_size() -> None:
    """xatlas lets faces that are small by its absolute measure share one point of the texture."""
    body, detail = trimesh.creation.box(), trimesh.creation.icosphere(subdivisions=2, radius=2.5e-4)
    detail.apply_translation([1.0, 0.0, 0.0])
    both = trimesh.util.concatenate([body, detail])
    assert isinstance(both, trimesh.Trimesh)
    corner_uv = unwrap(_mesh(both), SIZE)[0].corner_uv
    assert corner_uv is not None
    a, b, c = corner_uv[len(body.faces) :].transpose(1, 0, 2)
    assert np.all(_cross(b - a, c - a) != 0)


def test_faces_without_area_are_kept() -> None:
    box = _mesh(trimesh.creation.box())
    given = Mesh(box.vertices, np.vstack([box.faces, [[0, 0, 1], [2, 2, 2]]]))
    assert np.array_equal(unwrap(given, SIZE)[0].corners, given.corners)


@pytest.mark.parametrize(
    ("vertices", "faces", "message"),
    [
        (np.zeros((3, 3), np.float32), np.zeros((0, 3), np.int64), "the mesh has no faces"),
        (np.zeros((3, 3), np.float32), np.array([[0, 1, 2]]), "none of the mesh's faces has an area"),
        (np.full((3, 3), np.nan, np.float32), np.array([[0, 1, 2]]), "vertices that are not finite"),
    ],
)
def test_meshes_that_cannot_be_unwrapped(vertices: np.ndarray, faces: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        unwrap(Mesh(vertices, faces), SIZE)


def test_too_many_faces_are_refused_before_anything_starts() -> None:
    box = _mesh(trimesh.creation.box())
    with pytest.raises(UserError, match=r"unwrap: 12 faces, at most 10 can be unwrapped.*simplify first"):
        unwrap(box, SIZE, max_faces=10)


def _child_that(tmp_path: Path, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "child.py"
    path.write_text(code)
    monkeypatch.setattr(module, "CHILD", path)


def test_a_child_without_end_is_stopped_and_watched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waits = "import sys, time; print('flattening', file=sys.stderr, flush=True); time.sleep(60)"
    _child_that(tmp_path, waits, monkeypatch)
    monkeypatch.setattr(module, "TELL_SECONDS", 0.1)
    start = time.monotonic()
    with (
        caplog.at_level(logging.INFO),
        pytest.raises(UserError, match=r"not finished 12 faces within 0.5 s \(last: flattening\); allow fewer"),
    ):
        unwrap(_mesh(trimesh.creation.box()), SIZE, time_limit_s=0.5)
    assert time.monotonic() - start < 5
    assert caplog.messages.count("unwrapping 12 faces, 0 s so far") >= 2


def test_a_child_that_dies_is_an_error_with_its_last_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _child_that(tmp_path, "raise MemoryError('no room')", monkeypatch)
    box = _mesh(trimesh.creation.box())
    with pytest.raises(UserError, match="xatlas ended with status 1 on 12 faces: MemoryError: no room"):
        unwrap(box, SIZE)


def test_a_thread_that_never_ends_does_not_hold_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """xatlas may wait for ever for its own threads when it is taken down."""
    stuck = f"""
        import runpy, sys, threading
        threading.Thread(target=threading.Event().wait).start()
        runpy.run_path({str(module.CHILD)!r}, run_name="__main__")
    """
    _child_that(tmp_path, textwrap.dedent(stuck), monkeypatch)
    box = _mesh(trimesh.creation.box())
    assert len(unwrap(box, SIZE, time_limit_s=30.0)[0].faces) == 12

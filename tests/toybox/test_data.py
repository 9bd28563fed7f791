"""Buffers, shading and batches against what a pixel must show."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from toybox.buffers import EMPTY, SUPERSAMPLING, Caster, View
from toybox.data import BufferStore, FreshViews, render_buffers, repaint
from toybox.scenes import build
from toybox.shading import paint, shade, training_light
from toybox.world import load_world


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("buffers")
    render_buffers(folder, views_per_kind=2, size=64, seed=5)
    return BufferStore(folder)


def test_caster_agrees_with_trimesh_containment_along_the_ray():
    scene = build("mushroom")
    parts, normals = Caster(scene).cast(View(10, 30, 1.6, 47), size=96)
    inside = parts != EMPTY
    assert 0.1 < inside.mean() < 0.5
    lengths = np.linalg.norm(normals[inside].astype(float) / 127, axis=-1)
    np.testing.assert_allclose(lengths, 1, atol=0.02)
    assert not inside[0].any()
    assert not inside[:, 0].any()


def test_normals_of_a_ball_point_from_its_centre():
    scene = build("snowman")
    view = View(0, 0, 1.6, 47)
    parts, normals = Caster(scene).cast(view, size=128)
    base = next(i for i, part in enumerate(scene.parts) if part.name == "base")
    rows, columns = np.nonzero(parts == base)
    up = normals[rows, columns, 1] / 127
    right = normals[rows, columns, 0] / 127
    assert np.corrcoef(up, -rows)[0, 1] > 0.95
    assert np.corrcoef(right, columns)[0, 1] > 0.95


def test_shade_by_hand():
    light = torch.tensor([[0.0, 1.0, 0.0]])
    normals = torch.tensor([[[0.0, 1.0, 0.0], [0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]])
    strengths = load_world().light
    sky, ground, lamp = strengths.ambient_sky, strengths.ambient_ground, strengths.diffuse
    expected = [[sky + lamp, ground, (sky + ground) / 2]]
    torch.testing.assert_close(shade(normals, light), torch.tensor(expected))


def test_paint_shows_background_and_coverage():
    parts = torch.full((1, 8, 8), EMPTY, dtype=torch.uint8)
    parts[0, :, :3] = 0  # one and a half pixels of four
    normals = torch.zeros(1, 8, 8, 3, dtype=torch.int8)
    normals[..., 1] = 127
    red = torch.tensor([[[0.5, 0.0, 0.0]]])
    picture, coverage = paint(parts, normals, red, torch.tensor([[0.0, 0.0, 1.0]]), training_light(1))
    assert coverage[0, 0, 0].tolist() == [1.0, 0.5, 0.0, 0.0]
    bright = shade(torch.tensor([[[0.0, 1.0, 0.0]]]), training_light(1)).item()
    torch.testing.assert_close(picture[0, :, 0, 1], torch.tensor([0.25 * bright, 0.0, 0.5]))


def test_batches_depend_on_their_seed_alone(store):
    one, same, other = (store.draw(np.random.default_rng((1, step)), 4, 64) for step in (7, 7, 8))
    assert torch.equal(one.pictures, same.pictures)
    assert one.subjects == same.subjects
    assert not torch.equal(one.pictures, other.pictures)


def test_repainting_equals_painting_on_the_other_background(store):
    batch = store.draw(np.random.default_rng(0), 6, 64)
    others = torch.rand(6, 3)
    moved = repaint(batch, others)
    empty = (batch.coverage == 0).expand_as(moved)
    torch.testing.assert_close(moved[empty], others[:, :, None, None].expand_as(moved)[empty])
    full = (batch.coverage == 1).expand_as(moved)
    assert torch.equal(moved[full], batch.pictures[full])
    torch.testing.assert_close(
        repaint(batch.__class__(moved, batch.coverage, others, (), ()), batch.backgrounds), batch.pictures
    )


def test_rendering_goes_on_where_it_stopped(tmp_path, store):
    render_buffers(tmp_path, views_per_kind=1, size=16, seed=5)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    victim = tmp_path / "chair.views.npy"
    kept = (tmp_path / "chair.parts.npy").read_bytes()
    victim.unlink()
    render_buffers(tmp_path, views_per_kind=1, size=16, seed=5)
    changed = {path.name for path in tmp_path.iterdir() if path.stat().st_mtime_ns != before[path]}
    assert changed == {"chair.parts.npy", "chair.normals.npy", "chair.views.npy"}
    assert (tmp_path / "chair.parts.npy").read_bytes() == kept


def test_buffers_of_other_settings_are_refused_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("toybox.data.load_world", lambda: replace(load_world(), kinds={"donut": None}))
    render_buffers(tmp_path, views_per_kind=1, size=8, seed=5)
    for change, word in (
        ({"views_per_kind": 2}, r"views_per_kind 1 instead of 2"),
        ({"size": 16}, r"size 8 instead of 16"),
        ({"seed": 6}, r"seed 5 instead of 6"),
    ):
        with pytest.raises(ValueError, match=rf"buffers of other settings \({word}\): ask for these, delete it"):
            render_buffers(tmp_path, **{"views_per_kind": 1, "size": 8, "seed": 5, **change})
    (tmp_path / "settings.json").unlink()
    with pytest.raises(ValueError, match=r"buffers of unknown settings, without settings.json: delete it, or change"):
        render_buffers(tmp_path, views_per_kind=1, size=8, seed=5)


def test_fresh_views_are_cast_from_the_views_that_they_name():
    fresh = FreshViews()
    seen = [fresh.pick(np.random.default_rng(seed), "chair", 24) for seed in range(8)]
    for parts, normals, view in seen:
        again = Caster(build("chair")).cast(view, 24 * SUPERSAMPLING)
        np.testing.assert_array_equal(parts, again[0])
        np.testing.assert_array_equal(normals, again[1])
    assert len({view for _, _, view in seen}) == 8

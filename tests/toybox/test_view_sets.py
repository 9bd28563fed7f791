"""The multi-view training's data: the same whoever makes it, and encoded from what the cameras see."""

import pytest
import torch
import torch.nn.functional as F

from toybox import view_sets
from toybox.latents import encode
from toybox.networks import DOWNSCALE
from toybox.view_figures import ViewRequest, true_pictures
from toybox.view_sets import N_VIEWS, ViewSets, joined
from toybox.world import load_world

SIZE = 8


@pytest.fixture
def sets(tmp_path, vae, monkeypatch):
    monkeypatch.setattr(view_sets, "SET_OBJECTS", 3)
    return ViewSets(tmp_path, vae, SIZE, seed=5)


def test_latents_are_those_of_the_objects_seen_by_their_cameras(sets, vae):
    made = sets.get(0)
    palette = torch.tensor(list(load_world().backgrounds.values()))
    views = made.views()
    for row, subject in enumerate(made.subjects):
        request = ViewRequest(subject, tuple(views[row * N_VIEWS : (row + 1) * N_VIEWS]), seen=True)
        backgrounds = palette[made.background[row]].expand(N_VIEWS, -1)
        pictures = true_pictures(request, backgrounds, SIZE * DOWNSCALE)
        # the lamp strays a little in training
        assert (made.latents[row] - encode(vae, pictures)).abs().mean() < 0.02
        alike = (pictures - backgrounds[:, :, None, None]).abs().amax(dim=1, keepdim=True) == 0
        bare = F.avg_pool2d(alike.float(), DOWNSCALE)
        assert (made.bare[row][bare == 1] == 1).all()
        assert (made.bare[row] - bare).abs().mean() < 0.05  # pixels at outlines are bare in part


def test_sets_are_functions_of_seed_and_number(sets, tmp_path, vae):
    one = sets.get(1)
    assert torch.equal(ViewSets(tmp_path / "elsewhere", vae, SIZE, seed=5).get(1).latents, one.latents)
    assert not torch.equal(sets.get(2).cameras, one.cameras)
    assert not torch.equal(ViewSets(tmp_path / "elsewhere", vae, SIZE, seed=6).get(1).cameras, one.cameras)


def test_a_set_is_made_once(sets, monkeypatch):
    first = sets.get(0)
    monkeypatch.setattr(ViewSets, "_made", lambda self, number: pytest.fail("made again"))
    again = sets.get(0)
    assert torch.equal(again.latents, first.latents)
    assert again.subjects == first.subjects


def test_chosen_rows_keep_picture_camera_and_subject_together(sets):
    whole = joined([sets.get(0), sets.get(1)])
    objects, views = torch.tensor([4, 0]), torch.tensor([[3, 1], [0, 2]])
    some = whole.chosen(objects, views)
    assert some.subjects == (whole.subjects[4], whole.subjects[0])
    assert torch.equal(some.latents[0, 1], whole.latents[4, 1])
    assert torch.equal(some.bare[1, 1], whole.bare[0, 2])
    assert some.views()[0] == whole.views()[4 * N_VIEWS + 3]
    assert some.background.tolist() == [whole.background[4], whole.background[0]]

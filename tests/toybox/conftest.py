"""What tests of the multi-view model share: an autoencoder that knows nothing, and a training of four small steps."""

import pytest
import torch

from toybox import view_plan, view_sets
from toybox.networks import new_vae
from toybox.view_plan import ViewSettings


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return new_vae().eval().requires_grad_(False)


@pytest.fixture
def few_steps(monkeypatch) -> ViewSettings:
    """Two steps on the mean picture and two over all levels, on sets of two objects."""
    for module in (view_sets, view_plan):
        monkeypatch.setattr(module, "SET_OBJECTS", 2)
    return ViewSettings(mean_steps=2, coarse_steps=2, fine_steps=0, coarse_batch=4, first_sets=2, save_every=1)

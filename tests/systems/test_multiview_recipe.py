"""The recipe of the bundled multi-view model: plain settings, and views that the model is told of."""

from pathlib import Path
from typing import Any

import torch

from app.parts import register_parts
from core.recipe import read_recipe
from core.types import RenderOutput

RECIPE = Path(__file__).parents[2] / "configs" / "latent-nerf.yaml"


def test_the_bundled_model_takes_the_views_of_its_own_recipe():
    """Four views are looked at together, the loss is a number, and other cameras get another answer."""
    register_parts()
    system: Any = read_recipe(RECIPE, ["system.renderer.occupancy_resolution=16"]).system.build("a red chair", 0, 10)
    system.set_up()
    guidance, rng = system.guidance, torch.Generator().manual_seed(0)
    cameras = system.views.draw(guidance.latent_size, 0, 10, rng)
    assert (len(cameras), guidance.view_needs.n_together) == (4, 4)
    loss, _ = system.compute_loss(0, torch.Generator().manual_seed(1))
    loss.backward()
    assert bool(torch.isfinite(loss))
    flat = torch.zeros(4, guidance.latent_size, guidance.latent_size, guidance.latent_channels)
    seen = RenderOutput(flat, flat[..., 0], flat[..., 0], None, flat, None)
    asked = [
        guidance(seen, told, 0, 10, torch.Generator().manual_seed(2)).loss
        for told in (cameras, cameras.chosen(torch.tensor([2, 3, 0, 1])))
    ]
    assert asked[0] != asked[1], "the cameras are told"
